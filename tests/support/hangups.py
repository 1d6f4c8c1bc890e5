"""What a hangup does to a process: a child of `nohup`, as the tests may be, ignores it."""

HEARD = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
"""The begin of a program that hears a hangup, whoever started it."""
