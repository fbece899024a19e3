/*
 * Inbox and outbox (docs/protocol.md sections 2 and 3): M6 and M7.
 *
 * Two instances believe at the same time that the partition is theirs: the group's opinion is no guard, so the model has none, and
 * either of them is the other's zombie. A transaction is many steps with real locks, and any step may be put off for as long as one likes
 * (a frozen process) or be the last one (a crash, of which there are FAULTS). A lost reply of a commit is the way through `again` too.
 * A dispatcher writes to the trail of the same builds without holding the offset. Two relays (RELAYS) publish the same outbox.
 *
 * Mutants: NO_CAS, NO_FOLD, STALE_SEQUENCE (the trail's end is read by the statement that waits for the lock), OUTBOX_UNORDERED,
 * DELETE_BELOW (by high-water mark).
 */
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef RELAYS
#define RELAYS 1
#endif
#define RECORDS 4
#define BUILDS 2
#define ROWS (5 + 2 * FAULTS) /* of the outbox; ids of an aborted transaction are gone */

hidden byte M6, M7; /* 0: names in the messages of assertions */

/* The log: two records of build 0 that one batch can hold, one of build 1, and the first one again. */
#define BUILD_OF(r) ((r) == 2 -> 1 : 0)
#define IS_REPEAT(r) ((r) == 3)

byte next_offset;   /* consumer_offsets */
byte offset_holder; /* whose transaction locks that row; 0: nobody's */
byte row_holder[BUILDS];
byte applied[RECORDS]; /* how often each record took effect, as committed */
byte last_sequence[BUILDS];

/* The outbox by id: the rows that are committed and not deleted, as a set of bits. */
short there;
byte row_key[ROWS], row_sequence[ROWS];
byte next_id; /* of a Postgres sequence: moves on also when a transaction aborts */

byte seen[BUILDS]; /* a consumer's highest sequence of each key on the topic */
byte faults = FAULTS;

inline check_empty_outbox() {
	assert(M7 || there != 0 || (seen[0] == last_sequence[0] && seen[1] == last_sequence[1]))
}

inline insert_row(key, sequence) {
	row_key[next_id] = key;
	row_sequence[next_id] = sequence;
	mine = mine | (1 << next_id);
	next_id++
}

/* What was inserted becomes visible at once, or never was. */
inline end_rows(committed) {
	there = (committed -> there | mine : there);
	mine = 0
}

inline unlock_all() {
	offset_holder = (offset_holder == _pid -> 0 : offset_holder);
	row_holder[0] = (row_holder[0] == _pid -> 0 : row_holder[0]);
	row_holder[1] = (row_holder[1] == _pid -> 0 : row_holder[1])
}

inline lock_build(b) {
#ifdef STALE_SEQUENCE
	sequence[b] = last_sequence[b];
	atomic { row_holder[b] == 0 -> row_holder[b] = _pid }
#else
	atomic { row_holder[b] == 0 -> row_holder[b] = _pid; sequence[b] = last_sequence[b] }
#endif
}

#define IN_BATCH(r) (view <= (r) && (r) < view + n)

proctype instance()
{
	byte view, n, r;
	short mine; /* rows that it has inserted */
	byte sequence[BUILDS];
again:
	atomic { n = 0; r = 0; sequence[0] = 0; sequence[1] = 0; view = next_offset };
	do
	:: atomic { view == RECORDS -> view = 0; break }
	:: atomic { view < RECORDS ->
			if
			:: n = 1
			:: view + 2 <= RECORDS -> n = 2
			fi };
		/* The transaction's first statement: compare and set of the offset's row. */
		atomic { offset_holder == 0 ->
			if
#ifndef NO_CAS
			:: next_offset != view -> goto again
#endif
			:: else -> offset_holder = _pid
			fi };
		/* Builds by id, in a statement of their own. */
		if
		:: IN_BATCH(0) || IN_BATCH(1) || IN_BATCH(3) -> lock_build(0)
		:: else
		fi;
		if
		:: IN_BATCH(2) -> lock_build(1)
		:: else
		fi;
		/* Folded in memory, in order; one multi-row insert ordered by sequence. */
		d_step {
			r = view;
			do
			:: r < view + n ->
				if
				:: IS_REPEAT(r)
#ifdef NO_FOLD
				:: !IS_REPEAT(r) && r + 1 < view + n && BUILD_OF(r) == BUILD_OF(r + 1) && !IS_REPEAT(r + 1)
#endif
				:: else ->
					sequence[BUILD_OF(r)] = sequence[BUILD_OF(r)] + 1;
					insert_row(BUILD_OF(r), sequence[BUILD_OF(r)])
				fi;
				r++
			:: else -> break
			od;
			r = 0
		};
		if
		:: d_step { /* COMMIT */
				r = view;
				do
				:: r < view + n ->
#ifdef NO_FOLD
					if
					:: !IS_REPEAT(r) && r + 1 < view + n && BUILD_OF(r) == BUILD_OF(r + 1) && !IS_REPEAT(r + 1)
					:: else -> applied[r] = applied[r] + 1
					fi;
#else
					applied[r] = applied[r] + 1;
#endif
					r++
				:: else -> break
				od;
				next_offset = view + n;
				last_sequence[0] = (row_holder[0] == _pid -> sequence[0] : last_sequence[0]);
				last_sequence[1] = (row_holder[1] == _pid -> sequence[1] : last_sequence[1]);
				end_rows(true);
				unlock_all();
				r = 0;
				do
				:: r < RECORDS -> assert(M6 || applied[r] == (r < next_offset -> 1 : 0)); r++
				:: else -> break
				od
			}
		:: atomic { faults > 0 -> faults--; end_rows(false); unlock_all() }
		fi;
		goto again
	od
}

#ifndef DISPATCHED
#define DISPATCHED 1 /* builds */
#endif
/* Another writer of the trail, which owns no partition. */
proctype dispatcher()
{
	byte b;
	short mine;
	byte sequence[BUILDS];
	do
	:: b < DISPATCHED ->
		last_sequence[b] > 0;
		lock_build(b);
		d_step { sequence[b] = sequence[b] + 1; insert_row(b, sequence[b]) };
		d_step { last_sequence[b] = sequence[b]; sequence[b] = 0; end_rows(true); unlock_all() };
		b++
	:: else -> b = 0; break
	od
}

inline publish(id) {
	/* The same bytes again are dropped by consumers; a gap or another order is not theirs to mend. */
	assert(M7 || row_sequence[id] <= seen[row_key[id]] + 1);
	seen[row_key[id]] = (row_sequence[id] > seen[row_key[id]] -> row_sequence[id] : seen[row_key[id]])
}

proctype relay()
{
	short mask, acked;
	byte i;
end:
	do
	:: atomic { there != 0 -> mask = there }; /* one snapshot */
		do
		:: mask == acked -> break
		:: d_step { mask != acked ->
				i = 0;
				do
#ifdef OUTBOX_UNORDERED
				:: i + 1 < ROWS && (mask & ~acked & ~((2 << i) - 1)) -> i++
#else
				:: !(mask & ~acked & (1 << i)) -> i++
#endif
				:: else -> break
				od;
				publish(i);
				acked = acked | (1 << i);
				i = 0
			}
		:: atomic { faults > 0 && acked != 0 -> faults--; goto died }
		od;
		atomic {
#ifdef DELETE_BELOW
			i = 0;
			do
			:: (mask >> (i + 1)) != 0 -> i++
			:: else -> break
			od;
			mask = (2 << i) - 1;
			i = 0;
#endif
			there = there & ~mask;
			check_empty_outbox()
		};
died:		atomic { mask = 0; acked = 0 }
	od
}

init {
	atomic {
		run instance(); run instance(); run dispatcher(); run relay();
#if RELAYS > 1
		run relay();
#endif
	}
}
