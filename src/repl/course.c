/* The course of a server that starts. */
#include "repl/course.h"

#include "base/rules.h"

enum repl_course repl_course(const struct repl_found *f)
{
    bool suspect = (RULE(S11) && f->marked) || (RULE(S12) && f->damaged);
    if (!suspect)
        return COURSE_GO_ON;
    if (!f->primary)
        return COURSE_COPY;
    return f->accept_loss ? COURSE_GIVE_UP : COURSE_REFUSE;
}
