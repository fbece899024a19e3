"""What the checker judges: everything that was seen of a run, from outside and from the tables. Plain data, so that it can be forged."""

import dataclasses


@dataclasses.dataclass
class Message:
    """A record of Kafka."""

    topic: str
    partition: int
    offset: int
    key: str
    type: str | None
    event_id: str
    value: bytes
    data: dict | None
    hash: str | None = None  # ce_hash

    @property
    def build(self):
        return self.data.get("build_id") if isinstance(self.data, dict) else None


@dataclasses.dataclass
class Row:
    """Of build_audit."""

    status: str
    sha: str | None
    error: str | None


@dataclasses.dataclass
class Event:
    """Of build_events; times are wall-clock seconds here and below."""

    sequence: int
    type: str
    time: float
    body: bytes
    hash: bytes
    data: dict


@dataclasses.dataclass
class Attempt:
    """Of build_attempts."""

    build: str
    number: int
    lease: str
    worker: str
    mode: str
    state: str
    assigned: float
    accepted: float | None
    ended: float | None
    reason: str | None


@dataclasses.dataclass
class Entry:
    """A line of an executor's own journal."""

    time: float
    worker: str
    what: str
    build: str
    attempt: int


@dataclasses.dataclass
class Update:
    """Of a git server's reflog. `build`: whose commit the new tip is, by its trailer."""

    repository: str
    ref: str
    sha: str
    build: str | None


@dataclasses.dataclass
class Offset:
    """Of consumer_offsets, with the log of that partition: where it began, where it ended when all was quiet, and where it ends now."""

    consumer: str
    topic: str
    partition: int
    next: int
    start: int
    quiet_end: int
    end: int


@dataclasses.dataclass
class Window:
    """A time without faults, in which more builds were posted than there were slots."""

    builds: set
    slots: int
    busy: float = 0.0  # seconds: the longest that something small took meanwhile


@dataclasses.dataclass
class Evidence:
    posted: dict = dataclasses.field(default_factory=dict)  # task -> bots.Posted
    refused: dict = dataclasses.field(default_factory=dict)  # prompt -> what the POST was told
    seen: list = dataclasses.field(default_factory=list)  # bots.Seen
    messages: list = dataclasses.field(default_factory=list)  # Message, in the order of each partition
    rows: dict = dataclasses.field(default_factory=dict)  # build -> Row
    trail: dict = dataclasses.field(default_factory=dict)  # build -> [Event]
    attempts: list = dataclasses.field(default_factory=list)
    journal: list = dataclasses.field(default_factory=list)  # Entry
    doubles: list = dataclasses.field(default_factory=list)  # Entry: an agent that found another one of its build alive
    controls: set = dataclasses.field(default_factory=set)  # builds whose agent had to find another one alive, and must have said so
    updates: list = dataclasses.field(default_factory=list)  # Update, of branches
    commits: dict = dataclasses.field(default_factory=dict)  # build -> {sha} on any branch
    freezes: list = dataclasses.field(default_factory=list)  # (worker, from, to)
    deaths: list = dataclasses.field(default_factory=list)  # (worker, time)
    rereads: list = dataclasses.field(default_factory=list)  # [Message]: what a new consumer found from some offset on
    offsets: list = dataclasses.field(default_factory=list)
    leftovers: dict = dataclasses.field(default_factory=dict)  # what -> how many or which; empty is good
    told: dict = dataclasses.field(default_factory=dict)  # inbox -> {webhook-id}
    max_losses: int = 0  # as many as a build ends by
    windows: list = dataclasses.field(default_factory=list)
    surprises: list = dataclasses.field(default_factory=list)  # sentences: of bots, supervisor, nemeses
