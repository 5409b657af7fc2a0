"""What holds for every test."""

from __future__ import annotations

import os

# Before torch is imported: tests compute on tiny tensors, where threads that wait for each other cost more than they do.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
