"""Prints a header with a number that changes whenever what a seed leads to may change: a hash of the sources given."""
import hashlib
import pathlib
import sys

digest = hashlib.sha256()
for name in sorted(sys.argv[1:], key=lambda name: pathlib.Path(name).parts[-2:]):
    digest.update(pathlib.Path(name).read_bytes())
print(f'#define SIM_VERSION "{digest.hexdigest()[:8]}"')
