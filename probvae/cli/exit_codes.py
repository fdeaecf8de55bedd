"""The exit codes of the command line. Those above 128 are what a shell reports after a signal."""

SUCCESS = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT: Ctrl-C
PIPE_CLOSED = 141  # 128 + SIGPIPE: the reader of the output, such as `head`, ended first
TERMINATED = 143  # 128 + SIGTERM
