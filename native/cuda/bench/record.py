# SPDX-License-Identifier: Apache-2.0
"""Puts what run-on-gpu.sh left behind into one JSON record; without a GPU, a record that says 'not run' for each row."""

import argparse
import datetime
import json
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def commit():
    made = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, cwd=Path(__file__).parent)
    return made.stdout.strip() or None


def rows_not_run():
    from cases import all_cases

    return [{'name': case.name, 'op': case.op, 'precision': case.precision, 'state': 'not run'} for case in all_cases('cpu', small=True)]


def lines(path):
    return [line.split() for line in path.read_text().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--build', type=Path)
    parser.add_argument('--not-run', metavar='REASON')
    options = parser.parse_args()
    record = {
        'command': 'native/cuda/run-on-gpu.sh',
        'date': datetime.datetime.now(datetime.UTC).date().isoformat(),
        'commit': commit(),
        'machine': platform.platform(),
    }
    if options.not_run:
        record |= {'state': 'not run', 'reason': options.not_run, 'cases': rows_not_run()}
    else:
        build = options.build
        record |= {
            'state': 'run',
            'nvidia_smi': (build / 'smi.txt').read_text().splitlines(),
            'tests': [{'program': n, 'passed': code == '0', 'ms': int(ms)} for n, code, ms in lines(build / 'tests.txt')],
            'sanitizer': [{'tool': t, 'program': n, 'clean': code == '0'} for t, n, code in lines(build / 'sanitizer.txt')] or 'not run',
            **json.loads((build / 'bench.json').read_text()),
        }
    # What native/run-node-suites-on-gpu.sh has put there stays.
    before = json.loads(options.out.read_text()) if options.out.exists() else {}
    if 'suites' in before:
        record['suites'] = before['suites']
    options.out.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
