# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The append-only record of what was started, finished and recorded: logger `tmc.controller.ledger`, a line an entry.

Nothing reads it back. It is there so that a person or a test can count: an attempt (queue uid, specHash, task, attempt)
that is `started` twice, or a task that is `recorded` Succeeded twice, is a broken promise.
"""

from __future__ import annotations

import logging

from tmc.controller.model import Queue, TaskState
from tmc.controller.plan import Claim, Outcome
from tmc.controller.status import Author

_LOG = logging.getLogger("tmc.controller.ledger")


def started(queue: Queue, claim: Claim, author: Author) -> None:
    """The claim is acknowledged; the attempt begins."""
    _LOG.info("started", extra=_fields(queue, claim.task.name, claim.attempt, author))


def resumed(queue: Queue, claim: Claim, author: Author) -> None:
    """The claim is acknowledged; an attempt that another process began is taken up."""
    _LOG.info("resumed", extra=_fields(queue, claim.task.name, claim.attempt, author))


def finished(queue: Queue, claim: Claim, author: Author, outcome: Outcome) -> None:
    """The attempt ended; its outcome is not in the status yet, and may never be."""
    fields = _fields(queue, claim.task.name, claim.attempt, author)
    fields |= {"outcome": "Succeeded" if outcome.succeeded else "Failed", "detail": outcome.message}
    _LOG.info("finished", extra=fields)


def recorded(queue: Queue, state: TaskState, author: Author) -> None:
    """The API server acknowledged the outcome."""
    _LOG.info("recorded", extra=_fields(queue, state.name, state.attempts, author) | {"state": state.state})


def _fields(queue: Queue, task: str, attempt: int, author: Author) -> dict[str, object]:
    return {
        "queue": f"{queue.key.namespace}/{queue.key.name}",
        "uid": queue.uid,
        "specHash": queue.spec_hash,
        "task": task,
        "attempt": attempt,
        "identity": author.identity,
        "epoch": author.term.epoch,
    }
