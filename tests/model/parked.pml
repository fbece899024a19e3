/*
 * Parked builds (docs/protocol.md section 6): M8 and the liveness property "a place in a project is free and somebody waits for it =>
 * eventually given", with the timer removed. dispatch.pml has the slots; here there are always enough of them.
 *
 * All builds are of one project, which has one place. One that a match meets while it is taken is parked: no match meets it any more. Who
 * gives the place back brings the first one back into the line behind his commit, by a statement without the match's lock, and matches. A
 * match under way may have met a build before, and park it after that statement's look: so whoever parks one does the same behind his
 * commit. Of the two looks the later one sees both. The transaction that gives the place back may do it itself (build-service/refill.h),
 * but only what it sees with the lock counts. Who came back and is cancelled makes room for the next, like a place.
 *
 * Mutants: NOT_NOTED (who gives the place back only matches), PARK_ONLY (who parks a build does not look again), REFILL_UNLOCKED (what was
 * seen without the lock counts, too), CANCEL_NOT_NOTED (who takes a build out of the line only matches).
 */
#ifndef RESULTS
#define RESULTS 1
#endif
#define BUILDS 3
#define NOBODY 9

hidden byte M8; /* 0: a name in the messages of assertions */

mtype = { NEW, LINE, BACK, PARKED, HELD, OVER }; /* BACK: in the line again */
mtype state[BUILDS] = NEW;
bool row[BUILDS];     /* locked by who brings it back: passed over by others, waited for by who cancels it */
byte holder = NOBODY; /* of the place */
bool ending;          /* a transaction that gives it back is under way */
byte matcher;         /* who has the advisory lock; 0: nobody */

#define IN_LINE(b) (state[b] == LINE || state[b] == BACK)
#define ANY_IN_LINE (IN_LINE(0) || IN_LINE(1) || IN_LINE(2))
#define ANY_BACK (state[0] == BACK || state[1] == BACK || state[2] == BACK)
#define ANY_PARKED (state[0] == PARKED || state[1] == PARKED || state[2] == PARKED)
#define COMES(b) (state[b] == PARKED && !row[b] && !ANY_BACK)
#define MISSED (holder == NOBODY && (ANY_IN_LINE || ANY_PARKED))

inline first_parked() {
	parked = NOBODY;
	b = 0;
	do
	:: b < BUILDS && COMES(b) -> parked = b; row[b] = true; break
	:: b < BUILDS && !COMES(b) -> b++
	:: b == BUILDS -> break
	od;
	b = 0
}

inline first_in_line() {
	found = NOBODY;
	b = 0;
	do
	:: b < BUILDS && IN_LINE(b) -> found = b; break
	:: b < BUILDS && !IN_LINE(b) -> b++
	:: b == BUILDS -> break
	od;
	b = 0
}

inline bring_back() {
	b = 0;
	if
	:: parked != NOBODY -> state[parked] = BACK; row[parked] = false
	:: else
	fi;
	parked = NOBODY
}

/* A statement of its own: what it sees and what it commits are two moments. */
inline unpark() {
	d_step {
		parked = NOBODY;
		if
		:: holder == NOBODY -> first_parked()
		:: else
		fi
	};
	d_step { bring_back() }
}

/* `noted`: parked builds may have room. */
inline match() {
	do
	:: true ->
		if
		:: noted -> noted = false; unpark()
		:: else
		fi;
		if
		:: ANY_IN_LINE
		:: else -> break
		fi;
		atomic { matcher == 0 -> matcher = _pid + 1 };
		d_step { first_in_line(); taken = (holder != NOBODY) };
		if
		:: found == NOBODY -> d_step { matcher = 0; taken = false }; break
		:: found != NOBODY && taken ->
			d_step { /* COMMIT */
				state[found] = (IN_LINE(found) -> PARKED : state[found]);
				matcher = 0;
				found = NOBODY;
				taken = false
			};
#ifndef PARK_ONLY
			noted = true
#endif
		:: found != NOBODY && !taken ->
			d_step { /* COMMIT; of one that was cancelled meanwhile the place is handed back, and was never seen as taken */
				assert(M8 || holder == NOBODY);
				if
				:: IN_LINE(found) -> state[found] = HELD; holder = found
				:: else
				fi;
				matcher = 0;
				found = NOBODY
			}
		fi
	od
}

/* A request is applied. */
active [BUILDS] proctype intake()
{
	byte b, parked = NOBODY, found = NOBODY;
	bool taken, noted;
	state[_pid] = LINE;
	match()
}

inline end_and_refill() {
	mine = false;
	atomic {
		if
		:: matcher == 0 -> matcher = _pid + 1; mine = true
		:: true /* it is taken, or something else stands in the way */
		fi
	};
	d_step { first_parked() };
#ifdef REFILL_UNLOCKED
	looked = true;
#else
	looked = mine;
#endif
	d_step {
		found = NOBODY;
		if
		:: mine ->
			first_in_line();
			found = (found == NOBODY -> parked : found)
		:: else
		fi
	};
	d_step { /* COMMIT */
		state[holder] = OVER;
		holder = NOBODY;
		ending = false;
		bring_back();
		if
		:: found != NOBODY && IN_LINE(found) ->
			state[found] = HELD;
			holder = found;
			filled = true
		:: else
		fi;
		found = NOBODY;
		matcher = (mine -> 0 : matcher);
		mine = false
	}
}

/* A result is applied: by any instance. */
active [RESULTS] proctype results()
{
	byte b, parked = NOBODY, found = NOBODY;
	bool taken, noted, mine, filled, looked;
end:
	do
	:: atomic { holder != NOBODY && !ending -> ending = true };
		end_and_refill();
		if
		:: filled
		:: else ->
#ifdef NOT_NOTED
			skip;
#else
			noted = !looked;
#endif
			match()
		fi;
		atomic { filled = false; looked = false; noted = false }
	od
}

/* One build that waits is cancelled, at any time. */
active proctype cancel()
{
	byte b, parked = NOBODY, found = NOBODY;
	bool taken, noted;
	if
	:: atomic { (IN_LINE(0) || state[0] == PARKED) && !row[0] -> state[0] = OVER };
#ifndef CANCEL_NOT_NOTED
		noted = true;
#endif
		match()
	:: skip
	fi
}

ltl given { [] (MISSED -> <> !MISSED) }
