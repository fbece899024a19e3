/*
 * Publishing: one commit (docs/protocol.md sections 7 and 8): M1, M5, M9 and M10.
 *
 * A remote whose refs are compared and set by the server, sometime after the client asked, and perhaps after the client died. Attempt 1 may
 * be given up by the service at any moment and go on (frozen past its lease, anywhere between two steps), or end without knowing what became
 * of its push; then attempt 2 runs, and a settling attempt when the build may have been pushed and is to end without a commit. An outsider
 * adds a commit, rewrites the branch, or both; somebody may cancel. A connection may be cut before or after the server did what it was asked.
 *
 * A commit is a number, its ancestors (itself among them) a set of bits. Kiln's own are OURS and above.
 *
 * WEAK: the remote takes no fence refs. Then only M1 is promised, and only while nobody takes Kiln's commit off the branch.
 * Mutants: NO_FENCE (the push does not carry it), BASE_TIP_ONLY and REBASE_UNCHECKED (with WEAK), NO_SETTLE, NO_LEASE_CHECK,
 * CANCEL_IGNORED, NOT_SETTLED (nobody is sent to settle), UNCHANGED_OPEN (an attempt that changed nothing ends the build as it is).
 */
#ifndef CUTS
#define CUTS 1
#endif
#define BASE 0
#define ADDED 1
#define REWRITTEN 2
#define OURS 3
#define COMMITS 7
#define NOTHING 15 /* no commit; the build ended without one */
#define MARK 14    /* the closing mark */
#define AGAIN 13   /* a result: a push may still happen, and the attempt may be repeated */
#define BIT(c) (1 << (c))
#define ALL_OURS 120

hidden byte M1, M5, M9; /* 0: names in the messages of assertions */

/* The remote. */
byte tip = BASE;
byte fence = NOTHING;
byte ancestors[COMMITS]; /* of each commit that was made */
byte published;          /* by the server's reflog: Kiln's commits that the branch ever had as its tip */
byte next_commit = OURS;
byte author[COMMITS];
chan pushes = [3] of { byte, byte, byte }; /* attempt, expected tip, commit or MARK */
chan answers[4] = [1] of { bool };
bool cut[4]; /* its push got no answer */

/* The service. */
byte announced; /* commits whose `pushing` record Kafka has acknowledged */
bool lost;      /* attempt 1 was given up: its lease is over */
byte current = 1;
bool wish;
byte ended; /* 0: not yet; else what it ended with */
chan results = [3] of { byte, byte }; /* attempt; commit, NOTHING, AGAIN, or MARK: closed to later pushes */
bool cancel_read[4]; /* before the attempt's first `pushing` record was acknowledged */
byte cuts = CUTS;

active proctype server()
{
	byte who, expected, commit;
	bool done;
end:
	do
	:: atomic { pushes ?? who, expected, commit -> /* in any order: two connections */
			if
			:: commit == MARK ->
				done = (fence == NOTHING);
				if
				:: done -> fence = MARK
				:: else
				fi
			:: else ->
#if defined(WEAK) || defined(NO_FENCE)
				done = (tip == expected);
#else
				done = (tip == expected && fence == NOTHING);
#endif
				if
				:: done ->
					tip = commit;
#if !defined(WEAK) && !defined(NO_FENCE)
					fence = commit;
#endif
					published = published | BIT(commit);
					assert(M1 || (published & (published - 1)) == 0);
#ifndef WEAK
					assert(M5 || ended != NOTHING);
#endif
					assert(M9 || !cancel_read[author[commit]])
				:: else
				fi
			fi;
			if
			:: answers[who] ! done
			:: cuts > 0 -> cuts--; cut[who] = true
			fi;
			who = 0; expected = 0; commit = 0; done = false }
	od
}

active proctype outsider()
{
	if
	:: atomic { ancestors[ADDED] = ancestors[tip] | BIT(ADDED); tip = ADDED }
	:: true
	fi;
#ifdef WEAK
	if
	:: atomic { (ancestors[tip] & ALL_OURS) == 0 -> ancestors[REWRITTEN] = BIT(REWRITTEN); tip = REWRITTEN }
	:: true
	fi
#else
	if
	:: atomic { ancestors[REWRITTEN] = BIT(REWRITTEN); tip = REWRITTEN }
	:: true
	fi
#endif
}

/* What an earlier attempt, or this one, has put on the branch, found from its tip. Without fences this is all there is. */
inline search_branch() {
	found = ancestors[seen] & announced;
#ifdef BASE_TIP_ONLY
	found = ((ancestors[seen] & BIT(BASE)) -> found : 0)
#endif
}

inline make_commit() {
	mine = next_commit;
	next_commit++;
	author[mine] = me;
	ancestors[mine] = ancestors[seen] | BIT(mine)
}

inline finish(commit) {
	results ! me, commit;
	goto over
}

/* `settles`: no agent; adopts what is there, or closes the build to later pushes. */
proctype attempt(byte me; bool settles)
{
	byte seen, found, fenced, mine;
	bool may_have_pushed, agent_done;
fetch:
	atomic {
		seen = tip;
		fenced = fence
	};
	atomic {
		search_branch();
		if
		:: fenced == MARK -> finish(MARK)
		:: fenced < COMMITS -> finish(fenced)
		:: fenced == NOTHING && found != 0 ->
			do
			:: BIT(fenced & 7) == found -> break
			:: else -> fenced = (fenced == NOTHING -> OURS : fenced + 1)
			od;
			finish(fenced)
		:: else
		fi
	};
	if
	:: settles || (may_have_pushed && wish) ->
#ifdef WEAK
		finish(MARK) /* the weaker guarantee, which the trail says */
#else
		atomic { pushes ! me, 0, MARK };
		if
		:: atomic { answers[me] ? found -> found = 0; goto fetch }
		:: atomic { cut[me] -> cut[me] = false; goto fetch }
		fi
#endif
	:: else
	fi;
	/* The agent runs. A cancel that is read here kills it. */
	if
	:: !agent_done && wish -> atomic { cancel_read[me] = true; finish(NOTHING) }
	:: !agent_done && me == 2 -> finish(NOTHING) /* the agent failed */
#ifdef UNCHANGED_OPEN
	:: !agent_done && me == 2 -> finish(MARK)
#else
	:: !agent_done && me == 2 -> settles = true; goto fetch /* it changed nothing: closed, as far as there was an earlier push */
#endif
	:: atomic { next_commit < COMMITS -> agent_done = true; make_commit() }
	:: next_commit == COMMITS && !may_have_pushed -> finish(NOTHING)
	:: next_commit == COMMITS && may_have_pushed -> settles = true; goto fetch /* its deadline: the worker settles it itself */
	fi;
announce:
	/* `pushing` is announced; until the acknowledgement a cancel still wins, unless an earlier push may be on its way. */
	if
	:: atomic { wish && !may_have_pushed -> cancel_read[me] = true;
#ifndef CANCEL_IGNORED
			finish(NOTHING)
#endif
		}
	:: true
	fi;
	atomic { announced = announced | BIT(mine); found = 0 };
#ifndef NO_LEASE_CHECK
	if
	:: me == 1 && lost -> goto over
	:: else
	fi;
#endif
	atomic { pushes ! me, seen, mine; may_have_pushed = true };
	if
	:: atomic { answers[me] ? found ->
			if
			:: found != 0 -> finish(mine)
			:: else
			fi }
	:: atomic { cut[me] -> cut[me] = false; found = 0 }
	:: finish(AGAIN) /* its deadline, or its death: the server may still do it */
	fi;
#ifdef REBASE_UNCHECKED
	if
	:: atomic { next_commit < COMMITS -> seen = tip; make_commit(); goto announce }
	:: next_commit == COMMITS -> goto fetch
	fi
#else
	goto fetch
#endif
over:
	skip
}

inline end_build(with) {
	ended = with;
	assert(M5 || ended == NOTHING || (published & BIT(ended)));
#ifndef WEAK
	assert(M5 || ended != NOTHING || published == 0)
#endif
}

/* Without a commit a build that reached `pushing` ends only by a settling attempt. */
inline end_without() {
	if
#ifndef NO_SETTLE
	:: announced != 0 -> current = 3;
#ifndef NOT_SETTLED
		run attempt(3, true)
#endif
#endif
	:: else -> end_build(NOTHING)
	fi
}

active proctype service()
{
	byte who, commit;
	do
	:: ended != 0 -> break
	:: atomic { ended == 0 && len(results) > 0 -> results ? who, commit;
			if
			:: who != current -> skip /* M4 */
			:: who == current && commit == MARK -> end_build(NOTHING)
			:: who == current && commit < COMMITS -> end_build(commit)
			:: who == current && who == 1 && commit == AGAIN && !wish -> current = 2; run attempt(2, false)
			:: else -> end_without()
			fi;
			who = 0; commit = 0 }
	:: atomic { ended == 0 && current == 1 && !lost && len(results) == 0 -> /* the results partition was read to its end */
			lost = true;
			if
			:: wish -> current = 2; end_without()
			:: else -> current = 2; run attempt(2, false)
			fi }
	od;
	/* Late results are read and change nothing. */
end:
	do
	:: results ? who, commit -> who = 0; commit = 0
	od
}

active proctype bot()
{
	if
	:: wish = true
	:: true
	fi
}

init { atomic { ancestors[BASE] = BIT(BASE); run attempt(1, false) } }
