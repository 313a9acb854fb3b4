"""What the server's machine did during a run: power, energy, clocks, memory, processes.

Sources find themselves (`finding`), share one interface (`source`) and are read in threads of their
own (`sampling`). What cannot be read is said with its reason; it never becomes a zero.
"""
