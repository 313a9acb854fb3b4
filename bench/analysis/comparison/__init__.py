"""What sets runs apart: what can be compared, what changed, and whether it is more than noise.

compare_runs        two runs, or the two sides of one run, from matched cases to a `Comparison`
case_matching       which case of one is compared with which of the other
setup_difference    one thing that is set up or found otherwise on the two sides, and its role
setup_checks        finds them; causes and server_place know theirs
metric_verdicts     measures every metric of a pair of cases and judges it, with the correction
verdict_rule        the rule for one effect: worse, better, no change or inconclusive
result              what a comparison holds, and its exit code
notes               what the reader must know besides the verdicts
planning            from a pilot run to the number of pairs
trend               one metric over many runs; history_entry is what the history keeps of a run
"""
