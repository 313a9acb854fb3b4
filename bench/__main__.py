"""`ollama-bench`, and `python -m bench`, which is the same."""

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it; Ctrl-C while it loads ends the program without a word."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as a shell sets it for what runs in the background
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from bench.cli import main as command_line

    signal.signal(signal.SIGINT, before)
    command_line()


if __name__ == "__main__":
    main()
