/*
 * Tokens, leases and incarnations (docs/protocol.md sections 1, 4, 5 and 8): M2, M3, M4, M6 for results, M8 for claims, and the liveness
 * property "logged request => eventually terminal" (LIVE).
 *
 * Two workers with one slot and INCARNATIONS each, two builds. The service is one process whose steps are transactions: that two instances
 * and a zombie amount to that is what inbox.pml shows. Every process may stand still between any two steps, so there is no clock: a lease
 * may be judged over, and an accept missed, at any moment (FAULTS of these, of crashes and of lost commands together). What the rules then
 * demand of the one who judges is modelled step by step. Logs delay for as long as they like; results are sent until they are released. What
 * is announced (a push) is said once, in the same log, and kept nowhere: a start that comes after knows nothing of it. What follows from it is
 * publish.pml's; here it must only have been applied before its attempt is lost. LIVE has no announcements: nothing waits for one; nor has
 * UNANNOUNCED, for bounds that are too large with them.
 *
 * Mutants: TOKEN_REUSED, ATTEMPT_NOT_COMPARED, NO_RESULTS_BARRIER, HELLO_EARLY, HELLO_FREES_ALL, HELLO_FREES_AT_ONCE, SENT_FIRST,
 * INCARNATION_IGNORED, REPEATED_TO_NEXT, END_LEFT, CANCEL_FREES, and with LIVE: NOT_REPEATED.
 */
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef TOKENS
#define TOKENS 3
#endif
#ifndef BUILDS
#define BUILDS 2
#endif
#ifndef BEHIND
#define BEHIND 1 /* commands that a worker may be behind; the next are lost */
#endif
#define WORKERS 2
#define INCARNATIONS 2
#define BIT(t) (1 << (t))

hidden byte M2, M3, M4, M6, M8; /* 0: names in the messages of assertions */

mtype = { QUEUED, ASSIGNED, RUNNING, COMPLETED, FAILED, CANCELLED };
mtype = { ASSIGN, CANCEL, RELEASED, ABANDON, ACCEPTED, ANNOUNCED, FINISHED, HELLO, BEAT };

/* A token (build, attempt, lease id) is one number from 1; these do not change once it is given out. */
byte build_of[TOKENS + 1], worker_of[TOKENS + 1];
byte next_token = 1;

/* Logs. */
chan commands[WORKERS] = [BEHIND] of { mtype, byte, byte };     /* token, incarnation that it is for */
chan results = [2] of { mtype, byte };                       /* token */
chan events[WORKERS] = [1] of { mtype, byte, byte, byte, bool }; /* incarnation, held token, reported tokens, all commands read */

/* Postgres. */
mtype status[BUILDS] = QUEUED;
byte token[BUILDS]; /* current; 0: none */
bool wish[BUILDS];
byte claim[WORKERS]; /* the token that takes the slot; 0: free */
byte known[WORKERS]; /* incarnation */
bool left[WORKERS];  /* a new start of the worker has not listed what takes the slot */
byte heard;          /* tokens whose announcement was applied while they were current */
bool held_back[WORKERS];
bool moved[WORKERS]; /* the events' offset, since the sweeper looked */
byte below;          /* results below the end offset that the sweeper read and that are not applied */

/* What really is; nobody may look at it but assertions. */
byte running;   /* tokens whose processes are there */
byte over;      /* tokens whose lease is over */
byte logged;    /* tokens whose result is in the log */
byte announced; /* tokens whose announcement is in the log */
byte holder[TOKENS + 1];
#ifdef SENT_FIRST
byte in_flight; /* the token of a result that was sent, and is not in the log yet */
#endif
byte faults = FAULTS;

#define ENDED(b) (status[b] == COMPLETED || status[b] == FAILED || status[b] == CANCELLED)
#ifdef ATTEMPT_NOT_COMPARED
#define CURRENT(t) (status[build_of[t]] == ASSIGNED || status[build_of[t]] == RUNNING)
#else
#define CURRENT(t) (token[build_of[t]] == (t))
#endif

#ifdef REPEATED_TO_NEXT
#define GIVEN_TO_THIS(w) true
#else
#define GIVEN_TO_THIS(w) !left[w] /* and not to an earlier start of it */
#endif

inline set_status(b, to) {
	assert(M2 || !ENDED(b));
	status[b] = to
}

/* Right after a commit, and lost when there is no room or fate wills it; heartbeats repeat it. */
inline command(kind, t) {
	if
	:: len(commands[worker_of[t]]) < BEHIND -> commands[worker_of[t]] ! kind, t, known[worker_of[t]]
	:: len(commands[worker_of[t]]) == BEHIND
	:: faults > 0 && kind != ABANDON -> faults--
	fi
}

inline free_claim(t) {
	assert(M8 || !(running & BIT(t)) || (over & BIT(t)));
	heard = heard & ~BIT(t); /* nobody asks any more: fewer states */
	if
	:: claim[worker_of[t]] == t -> claim[worker_of[t]] = 0; left[worker_of[t]] = false
	:: else
	fi
}

/* Of an attempt that is lost all counts that was logged in time; of a result see those who call this. */
#define HEARD(t, was_announced) (!(was_announced) || (heard & BIT(t)))

inline lose(t) {
	free_claim(t);
	token[build_of[t]] = 0;
	if
	:: wish[build_of[t]] -> set_status(build_of[t], CANCELLED)
	:: else -> set_status(build_of[t], QUEUED)
	fi
}

inline apply_result() {
	results ? kind, t;
	below = (below > 0 -> below - 1 : 0);
	if
	:: kind == ACCEPTED && CURRENT(t) && status[build_of[t]] == ASSIGNED ->
		assert(M4 || token[build_of[t]] == t);
		set_status(build_of[t], RUNNING)
	:: kind == ANNOUNCED && CURRENT(t) ->
		assert(M4 || token[build_of[t]] == t);
		heard = heard | BIT(t);
		set_status(build_of[t], RUNNING) /* also when its accept was not */
#ifdef END_LEFT
	:: kind == FINISHED && (CURRENT(t) || ENDED(build_of[t])) ->
#else
	:: kind == FINISHED && CURRENT(t) ->
#endif
		assert(M4 || ENDED(build_of[t]) || token[build_of[t]] == t);
		token[build_of[t]] = 0;
		if
		:: wish[build_of[t]] -> set_status(build_of[t], CANCELLED)
		:: else -> set_status(build_of[t], COMPLETED)
		fi;
		free_claim(t);
		command(RELEASED, t)
	:: kind == FINISHED && !CURRENT(t) -> command(RELEASED, t)
	:: else
	fi;
	kind = 0; t = 0
}

inline apply_event(w) {
	events[w] ? kind, incarnation, held, reported, caught;
	if
	:: incarnation < known[w] || (kind == BEAT && incarnation != known[w])
	:: kind == HELLO && incarnation > known[w] ->
		moved[w] = true;
		known[w] = incarnation;
		held_back[w] = false;
		/* What it does not list is to be freed, but not here: what the one before has written may not be applied yet. */
#ifdef HELLO_FREES_ALL
		left[w] = claim[w] != 0;
#else
		left[w] = claim[w] != 0 && !(reported & BIT(claim[w]));
#endif
#ifdef HELLO_FREES_AT_ONCE
		if
		:: left[w] ->
			t = claim[w];
			assert(M6 || HEARD(t, announced & BIT(t)));
			lose(t)
		:: else
		fi
#endif
	:: kind == BEAT && incarnation == known[w] ->
		moved[w] = true;
		held_back[w] = held_back[w] && !caught;
		t = claim[w];
		if
#ifndef NOT_REPEATED
		:: t != 0 && status[build_of[t]] == ASSIGNED && held != t && !(reported & BIT(t)) && GIVEN_TO_THIS(w) -> command(ASSIGN, t)
#endif
		:: held != 0 && held != t -> command(ABANDON, held)
		:: held != 0 && held == t && wish[build_of[t]] -> command(CANCEL, t)
		:: else
		fi;
		t = 1;
		do
		:: t <= TOKENS ->
			if
			:: (reported & BIT(t)) && claim[w] != t -> command(RELEASED, t)
			:: else
			fi;
			t++
		:: else -> break
		od
	:: else
	fi;
	kind = 0; incarnation = 0; held = 0; reported = 0; t = 0; caught = false
}

active proctype service()
{
	mtype kind;
	byte t, incarnation, held, reported;
	bool caught;
end:
	do
#ifdef LIVE
	:: atomic { len(results) + len(events[0]) + len(events[1]) > 0 ->
			if
			:: len(results) > 0 -> apply_result()
			:: else
			fi;
			if
			:: len(events[0]) > 0 -> apply_event(0)
			:: else
			fi;
			if
			:: len(events[1]) > 0 -> apply_event(1)
			:: else
			fi }
#else
	:: atomic { len(results) > 0 -> apply_result() }
	:: atomic { len(events[0]) > 0 -> apply_event(0) }
	:: atomic { len(events[1]) > 0 -> apply_event(1) }
#endif
	od
}

#define CAN_RUN(w) (known[w] != 0 && claim[w] == 0 && !held_back[w])

inline assign(b, w) {
	t = next_token;
#ifdef TOKEN_REUSED
	if
	:: b == 0 && next_token > 1 && build_of[1] == 0 -> t = 1
	:: else -> next_token++
	fi;
#else
	next_token++;
#endif
	build_of[t] = b;
	worker_of[t] = w;
	token[b] = t;
	claim[w] = t;
	set_status(b, ASSIGNED);
	command(ASSIGN, t);
	t = 0
}

active proctype dispatcher()
{
	byte t;
end:
	do
	:: atomic { status[0] == QUEUED && next_token <= TOKENS && CAN_RUN(0) -> assign(0, 0) }
	:: atomic { status[0] == QUEUED && next_token <= TOKENS && CAN_RUN(1) -> assign(0, 1) }
	:: atomic { status[0] == QUEUED && next_token > TOKENS -> set_status(0, FAILED) } /* the limit of losses */
#if BUILDS > 1
	:: atomic { status[1] == QUEUED && next_token <= TOKENS && CAN_RUN(0) -> assign(1, 0) }
	:: atomic { status[1] == QUEUED && next_token <= TOKENS && CAN_RUN(1) -> assign(1, 1) }
	:: atomic { status[1] == QUEUED && next_token > TOKENS -> set_status(1, FAILED) }
#endif
	od
}

/* Takes back what a silent worker holds, what it did not accept in time, and what its new start has not listed. */
active proctype sweeper()
{
	byte t, w;
	bool accept_missed, orphaned, result_was_logged, was_announced;
end:
	do
	:: atomic { left[0] || left[1] || (faults > 0 && (claim[0] != 0 || claim[1] != 0)) ->
			if
			:: left[0] -> w = 0; orphaned = true
			:: left[1] -> w = 1; orphaned = true
			:: faults > 0 && claim[0] != 0 -> faults--; w = 0
			:: faults > 0 && claim[1] != 0 -> faults--; w = 1
			fi;
			t = claim[w];
			if
			:: !orphaned && status[build_of[t]] == ASSIGNED -> accept_missed = true
			:: accept_missed = false
			fi;
			/* End offsets; of the events as well, by the offset's row. */
			below = len(results);
			moved[w] = false;
			result_was_logged = (logged & BIT(t)) != 0;
			was_announced = (announced & BIT(t)) != 0;
#ifdef NO_RESULTS_BARRIER
			below = 0
#endif
		};
		below == 0;
		atomic {
			if
			:: claim[w] == t && orphaned ->
#ifndef INCARNATION_IGNORED /* it breaks this too, before what it is there for */
				/* The new start would have listed a result that is in the log or comes to it later. */
				assert(M6 || !(logged & BIT(t)));
				assert(M6 || HEARD(t, was_announced));
#endif
				lose(t)
			:: claim[w] == t && !orphaned && (accept_missed -> status[build_of[t]] == ASSIGNED : !moved[w]) ->
				assert(M6 || !result_was_logged);
				assert(M6 || HEARD(t, was_announced));
				over = over | BIT(t);
				held_back[w] = true;
				lose(t)
			:: else
			fi;
			t = 0; w = 0; accept_missed = false; orphaned = false; result_was_logged = false; was_announced = false
		}
	od
}

inline stop(t) {
	running = running & ~BIT(t);
	done = done | BIT(t);
	mine = 0
}

/* Whoever still holds a lock of the state directory. */
inline kill_orphan() {
	atomic { running = running & ~(orphan != 0 -> BIT(orphan) : 0); orphan = 0 }
}

active [WORKERS] proctype worker()
{
	mtype kind;
	byte incarnation = 1, mine, reported, done, t, i, orphan;
	bool told;
#define ME (_pid - 3)
#ifdef LIVE
#define QUIET (len(commands[ME]) == 0)
#else
#define QUIET true
#endif
	goto hello;
end:
	do
	:: atomic { len(commands[ME]) > 0 ->
			commands[ME] ? kind, t, i;
			if
#ifndef INCARNATION_IGNORED
			:: i != incarnation
#endif
			:: kind == ASSIGN &&
#ifndef INCARNATION_IGNORED
				i == incarnation &&
#endif
				mine != t && !(done & BIT(t)) ->
				if
				:: mine != 0 -> stop(mine) /* its lease was over, or the slot would not have been free */
				:: else
				fi;
				assert(M3 || holder[t] == 0 || holder[t] == ME * INCARNATIONS + incarnation);
				holder[t] = ME * INCARNATIONS + incarnation;
				mine = t;
				running = running | BIT(t);
				if
				:: len(results) < 2 -> results ! ACCEPTED, t
				:: else /* sent later; a finish tells as much */
				fi
			:: kind == CANCEL && mine == t -> stop(t); reported = reported | BIT(t)
			:: kind == ABANDON && mine == t -> stop(t)
			:: kind == RELEASED -> reported = reported & ~BIT(t)
			:: else
			fi;
			kind = 0; t = 0; i = 0 }
#if !defined(LIVE) && !defined(UNANNOUNCED)
	/* And acknowledged: else nothing comes of it. */
	:: atomic { mine != 0 && !(announced & BIT(mine)) && len(results) == 0 -> results ! ANNOUNCED, mine; announced = announced | BIT(mine) }
#endif
	/* The agent is done. The result is kept first; it is the attempt's last word. */
#ifdef SENT_FIRST
	:: atomic { mine != 0 && in_flight == 0 -> t = mine; stop(t); in_flight = t };
		if
		:: atomic { reported = reported | BIT(t); t = 0 }
		:: atomic { faults > 0 && incarnation < INCARNATIONS -> faults--; incarnation++; done = 0; told = false; t = 0; goto hello }
		fi
#else
	:: atomic { mine != 0 && QUIET -> t = mine; stop(t); reported = reported | BIT(t); t = 0 }
#endif
#ifdef LIVE
	:: atomic { QUIET && mine == 0 && reported != 0 && !told && len(results) == 0 -> told = true;
#else
	:: atomic { reported != 0 && len(results) == 0 ->
#endif
			t = 1;
			do
			:: !(reported & BIT(t)) -> t++
			:: else -> break
			od;
			results ! FINISHED, t;
			logged = logged | BIT(t);
			t = 0 }
#ifdef LIVE
	:: atomic { QUIET && mine == 0 && (reported == 0 || told || len(results) != 0) && len(events[ME]) == 0 -> told = false;
#else
	:: atomic { len(events[ME]) == 0 ->
#endif
			events[ME] ! BEAT, incarnation, mine, reported, len(commands[ME]) == 0 }
	/* The daemon dies; its agent need not. What it keeps on disk are its results. */
	:: atomic { faults > 0 && incarnation < INCARNATIONS ->
			faults--; incarnation++; orphan = mine; mine = 0; done = 0; told = false };
hello:
#ifndef HELLO_EARLY
		kill_orphan();
#endif
		/* It reads its commands from their end. */
		atomic {
			do
			:: len(commands[ME]) > 0 -> commands[ME] ? kind, t, i
			:: else -> break
			od;
			kind = 0; t = 0; i = 0
		};
		events[ME] ! HELLO, incarnation, 0, reported, true;
#ifdef HELLO_EARLY
		kill_orphan()
#endif
	od
}

#ifdef SENT_FIRST
/* What a daemon has sent may come to the log when its successor has long said hello. */
active proctype net()
{
end:
	do
	:: atomic { in_flight != 0 && len(results) == 0 -> results ! FINISHED, in_flight; logged = logged | BIT(in_flight); in_flight = 0 }
	od
}
#endif

#ifndef LIVE
active proctype bot()
{
	atomic {
		if
		:: status[0] == QUEUED -> set_status(0, CANCELLED)
		:: status[0] == ASSIGNED || status[0] == RUNNING -> wish[0] = true;
#ifdef CANCEL_FREES
			free_claim(token[0]);
#endif
		:: else
		fi
	}
}
#endif

#ifdef LIVE
#if BUILDS > 1
ltl terminal { <> (ENDED(0) && ENDED(1)) }
#else
ltl terminal { <> ENDED(0) }
#endif
#endif
