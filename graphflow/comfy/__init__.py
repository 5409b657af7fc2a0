"""The ComfyUI side door: its workflows, its HTTP and WebSocket protocol, its node packs.

Nothing outside this package knows that it exists: it is found through entry points (`graphflow.dialects` for
workflows, `graphflow.doors` for routes). Everything but `packs` runs in the control wing, without torch.
"""
