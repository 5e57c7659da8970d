"""Delta debugging: a sequence that shows a difference, made short."""

import time


def shrink(steps, fails, seconds=60):
    """The shortest sequence found in that time that still fails, and how often it was tried.
    fails(steps), asked of parts of it in their order, gives the part up to where it fails, or
    None."""
    end, size, asked = time.monotonic() + seconds, len(steps) // 2, 0
    while size >= 1 and time.monotonic() < end:
        at, shorter = 0, False
        while at < len(steps) and time.monotonic() < end:
            part = steps[:at] + steps[at + size:]
            asked += 1
            if part and (failed := fails(part)):
                steps, shorter = failed, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2) if not shorter or size > 1 else 1
    return steps, asked
