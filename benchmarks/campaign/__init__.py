"""Faults against every command: processes that are ended on purpose, disks that refuse, files that are not what they
should be. ``benchmarks.faults`` is the program."""
