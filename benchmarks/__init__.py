"""What things cost, as ratios against a baseline in the same run: `make bench`."""

from graphflow.process import let_threads_sleep

let_threads_sleep()  # as workers do
