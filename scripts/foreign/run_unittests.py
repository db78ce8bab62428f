# mypy: ignore-errors
# ruff: noqa: N802
"""Runs CPython's own tests in the current directory; one line of JSON for each test.

A program of its own, run by the Python whose tests they are: `PYTHON run_unittests.py NAME…`, a
NAME as in `test_os` or `test_os.MakedirTests.test_mode`.
"""

import faulthandler
import json
import os
import sys
import unittest

REPORT = os.fdopen(os.dup(1), "w", buffering=1)


class Result(unittest.TestResult):
    def _report(self, test, outcome, message=""):
        name = test.id() if hasattr(test, "id") else str(test)
        REPORT.write(json.dumps([name, outcome, message]) + "\n")

    def addSuccess(self, test):
        self._report(test, "passed")

    def addFailure(self, test, error):
        self._report(test, "failed", self._exc_info_to_string(error, test))

    def addError(self, test, error):
        self._report(test, "failed", self._exc_info_to_string(error, test))

    def addSkip(self, test, reason):
        self._report(test, "skipped", reason)

    def addExpectedFailure(self, test, error):
        self._report(test, "passed")

    def addUnexpectedSuccess(self, test):
        self._report(test, "failed", "an unexpected success")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._report(subtest, "failed", self._exc_info_to_string(error, test))


def main():
    # What they print is not their report, and what they find on stdin is nothing.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    faulthandler.enable()
    import test.support

    test.support.use_resources = []  # nothing that takes gigabytes, sound or the network
    for name in sys.argv[1:]:
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{name}")
        suite.run(Result())


if __name__ == "__main__":
    main()
