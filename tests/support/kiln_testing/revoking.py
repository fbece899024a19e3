"""Tokens that do not work any more."""

import datetime

from .access_log import gateway_began
from .waiting import wait_for

REVOKED_WITHIN_S = 5 + 1  # one for a busy machine


def used_after_revocation(log, client):
    """How long after now the last request of a token that was just revoked began that its gateway let in, by that gateway's log; seconds."""
    revoked = datetime.datetime.now(datetime.UTC)
    let_in = []

    def refused():
        answer = client.get("/me", expect=(200, 401))
        if answer.status_code == 200:
            let_in.append(answer)
        return answer.status_code == 401

    wait_for(refused, "the revoked token to be refused", poll=0.01)
    return (gateway_began(log, let_in[-1]) - revoked).total_seconds() if let_in else 0.0
