/*
 * Dispatch (docs/protocol.md section 6): M8 and the liveness property "runnable and free => eventually assigned", with the timer removed.
 *
 * Whoever commits a change (a build begins to wait, a slot becomes free) then matches, on any instance: waits for the advisory lock, looks
 * at what is committed, claims, commits. Builds 0 to 2 are of one project with the limit LIMIT; build 0 is of a class that no slot serves
 * and is the oldest. An attempt ends at any time and gives slot and claim back. There are no crashes here: after those there is the timer.
 *
 * A match begins with a look without the lock, whether anybody waits at all. The transaction that ends an attempt may fill its slot itself
 * (build-service/refill.h): it tries the lock, looks at what is committed and at what it has changed, and commits both. Only if it has
 * assigned what it found, and has queued nobody, nobody matches afterwards.
 *
 * Mutants: TRY_LOCK (a matcher that meets another does nothing), NO_LOCK (claims that were counted, not taken), WINDOW (a LIMIT before the
 * conditions), REFILL_ONLY (who ends an attempt leaves it at his own try), REFILL_EARLY (that look is before the lock).
 */
#ifndef LIMIT
#define LIMIT 1
#endif
#define BUILDS 3
#define SLOTS 2
#define NOBODY 9

hidden byte M8; /* 0: a name in the messages of assertions */

mtype = { NEW, COMING, WAITS, HELD, OVER }; /* COMING: in a transaction that is not committed */
mtype state[BUILDS] = NEW;
byte held_by[SLOTS] = NOBODY;
bool announced[SLOTS];
byte claims; /* active rows of project_slots */
byte matcher; /* who has the advisory lock; 0: nobody */

#define FREE(s) (announced[s] && held_by[s] == NOBODY)
#define RUNNABLE(b) (state[b] == WAITS && (b) != 0 && claims < LIMIT)
#define MISSED ((RUNNABLE(1) || RUNNABLE(2)) && (FREE(0) || FREE(1)))

inline choose() {
	b = 0;
	slot = NOBODY;
	do
	:: b < BUILDS && RUNNABLE(b) -> break
#ifdef WINDOW
	:: b < BUILDS && state[b] == WAITS && !RUNNABLE(b) -> b = BUILDS /* the window was full */
	:: b < BUILDS && state[b] != WAITS -> b++
#else
	:: b < BUILDS && !RUNNABLE(b) -> b++
#endif
	:: b == BUILDS -> break
	od;
	if
	:: b < BUILDS && FREE(0) -> slot = 0
	:: b < BUILDS && !FREE(0) && FREE(1) -> slot = 1
	:: else
	fi
}

#ifdef NO_LOCK
#define LOCKED true
#else
#define LOCKED (matcher == _pid + 1)
#endif

inline match() {
	if
	:: state[0] != WAITS && state[1] != WAITS && state[2] != WAITS
	:: else -> match_locked()
	fi
}

inline match_locked() {
#if defined(TRY_LOCK)
	atomic { matcher = (matcher == 0 -> _pid + 1 : matcher) };
#elif !defined(NO_LOCK)
	atomic { matcher == 0 -> matcher = _pid + 1 }; /* waited for, never tried; the look is another statement */
#endif
	do
	:: !LOCKED -> break
	:: LOCKED ->
		d_step { choose() };
		if
		:: slot == NOBODY -> break
		:: slot != NOBODY ->
			d_step { /* COMMIT */
				assert(M8 || held_by[slot] == NOBODY);
				state[b] = HELD;
				held_by[slot] = b;
				claims++;
				assert(M8 || claims <= LIMIT);
				b = 0;
				slot = NOBODY
			}
		fi
	od;
	atomic { matcher = (matcher == _pid + 1 -> 0 : matcher); b = 0 }
}

/* A request is applied. */
active [BUILDS] proctype intake()
{
	byte b, slot = NOBODY;
	if
	:: d_step { state[_pid] == NEW -> state[_pid] = WAITS };
		match()
	:: state[_pid] != NEW /* in the transaction that has ended an attempt */
	fi
}

#define OWN (_pid - BUILDS)
#define FITS(b, s) ((announced[s] && (held_by[s] == NOBODY || (s) == OWN)) && (state[b] == WAITS || queued == b) && taken < LIMIT)

/* The pairs that there will be when the own attempt has ended; as in choose, build 0 can run nowhere. */
inline see() {
	taken = claims - 1;
	pick[0] = NOBODY;
	pick[1] = NOBODY;
	for (b : 1 .. BUILDS - 1) {
		if
		:: pick[0] == NOBODY && FITS(b, 0) -> pick[0] = b; taken++
		:: else ->
			if
			:: pick[1] == NOBODY && FITS(b, 1) -> pick[1] = b; taken++
			:: else
			fi
		fi
	}
	b = 0;
	taken = 0
}

inline give(s) {
	if
	:: pick[s] != NOBODY ->
		assert(M8 || held_by[s] == NOBODY);
		state[pick[s]] = HELD;
		held_by[s] = pick[s];
		claims++;
		assert(M8 || claims <= LIMIT);
		filled = true;
		pick[s] = NOBODY
	:: else
	fi
}

/* The end of the own attempt, and its slot's next build; perhaps a request is applied in the same transaction. */
inline end_and_refill() {
	filled = false;
	queued = NOBODY;
	if
	:: d_step { state[2] == NEW -> queued = 2; state[2] = COMING }
	:: skip
	fi;
#ifdef REFILL_EARLY
	d_step { see() };
#endif
	atomic { matcher = (matcher == 0 -> _pid + 1 : matcher) };
	if
	:: matcher == _pid + 1 ->
#ifndef REFILL_EARLY
		d_step { see() };
#endif
		skip
	:: else -> d_step { pick[0] = NOBODY; pick[1] = NOBODY }
	fi;
	d_step { /* COMMIT */
		state[held_by[OWN]] = OVER;
		held_by[OWN] = NOBODY;
		claims--;
		if
		:: queued != NOBODY -> state[queued] = WAITS
		:: else
		fi;
		give(0);
		give(1);
		matcher = (matcher == _pid + 1 -> 0 : matcher)
	}
}

/* A worker says hello; its attempt ends, and its slot is free again. */
active [SLOTS] proctype worker()
{
	byte b, taken, pick[SLOTS] = NOBODY, slot = NOBODY, queued = NOBODY;
	bool filled;
	d_step { announced[OWN] = true };
	match();
end:
	do
	:: held_by[OWN] != NOBODY ->
		end_and_refill();
		if
		:: filled && queued == NOBODY -> filled = false
#ifdef REFILL_ONLY
		:: else
#else
		:: else -> match()
#endif
		fi
	od
}

ltl assigned { [] (MISSED -> <> !MISSED) }
