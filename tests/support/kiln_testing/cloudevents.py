"""Headers of the records that tests send: CloudEvents in Kafka's binary mode."""

import datetime
import uuid


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def headers(kind, source, subject, **changes):
    """As Kiln writes them, with these changes and more; None takes one away."""
    found = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid.uuid4()),
        "ce_source": source,
        "ce_type": kind,
        "ce_subject": subject,
        "ce_time": now(),
        "ce_dataschema": f"urn:kiln:schema:{kind}",
        "content-type": "application/json",
    }
    return [(name, value) for name, value in (found | changes).items() if value is not None]
