/*
 * tests/model/map.pml - the protocol of the verifier's map, for spin. docs/map-format.md has it in words.
 *
 * One slot, for which two tokens compete, one writer, one reader that verifies once, at any moment (readers
 * write nothing, so more of them do nothing that one does not). The writer issues, rewrites, revokes, takes over a dead slot, locks, retires the map, and may die
 * before any step; then another agent revokes with no map. Each write of the slot has a number, which stands in two of its
 * fields, since a field is written and read by itself; in which order is open. The reader notes at its start which numbers had
 * ended, as replies have it, and what it then takes for an answer must be of another.
 *
 * $MAP_MUTANT names a fault, by the number below; each must be found.
 */
#define NO_SECOND_LOOK	1  /* the reader does not look at seq again */
#define NO_ODD		2  /* the reader does not mind that it is odd */
#define SECOND_TOO_SOON 3  /* no acquire: seq is looked at again before the last field was */
#define FIRST_TOO_LATE	4  /* no acquire: seq is first looked at after the first field was */
#define ODD_TOO_LATE	5  /* no release: a field is written before seq is odd */
#define EVEN_TOO_SOON	6  /* no release: seq is even before the last field is written */
#define NO_STATE	7  /* the reader does not look at the state */
#define STATE_BEFORE	8  /* the state is the one of the verification before */
#define NO_OWNER	9  /* the reader does not look at the owner */
#define MARK_LATE	10 /* another agent starts before the dead one is marked */
#define REPLY_FIRST	11 /* the reply goes out before the map has it */
#define TEXT_LATE	12 /* the slot points to a text that is not there yet */
#define UNLOCK_FIRST	13 /* the map is in force before the lock is taken off */

#ifndef STEPS
#define STEPS 2 /* beyond the first, which is done: token 1 lives in the slot */
#endif
#define GOOD 1
#define ASK 2
#define RETIRED 3

byte mutant;

/* The map. */
byte seq = 2, id = 1, first = 1, second = 1, access = 1;
byte state = GOOD;
bool is_marked;
bool text[8];

/* What the agent has told, and to whom it may still tell. */
byte numbers = 1; /* of writes */
byte issued[3];	 /* a token's latest number */
byte ended[3];	 /* up to here it has ended, and replies say so */
byte locks;	 /* odd: locked, and replies say so */
bool is_dead;

/* A step of the writer's, unless it is dead. */
#define STEP(what) atomic { !is_dead -> what }

inline write_fields(t, n)
{
	left = 15;
	do
	:: left & 1 -> STEP(id = t); left = left & 14
	:: left & 2 -> STEP(first = n); left = left & 13
	:: left & 4 -> STEP(second = n); left = left & 11
	:: left & 8 -> STEP(access = 1); left = left & 7
	:: left == 0 -> break
	od
}

inline write_slot(t, n)
{
	if
	:: mutant == ODD_TOO_LATE -> STEP(first = n); STEP(seq++)
	:: mutant != ODD_TOO_LATE -> STEP(seq++)
	fi;
	if
	:: mutant == EVEN_TOO_SOON ->
		STEP(id = t); STEP(first = n); STEP(access = 1); STEP(seq++); STEP(second = n)
	:: mutant != EVEN_TOO_SOON -> write_fields(t, n); STEP(seq++)
	fi
}

inline kill_slot()
{
	STEP(seq++);
	STEP(access = 0);
	STEP(seq++)
}

/* Issues the token, or writes it anew, which ends what it was; the slot is its own, dead or empty. */
inline issue(t)
{
	STEP(numbers++; issued[t] = numbers);
	if
	:: mutant == TEXT_LATE -> write_slot(t, issued[t]); STEP(text[issued[t]] = true)
	:: mutant != TEXT_LATE -> STEP(text[issued[t]] = true); write_slot(t, issued[t])
	fi;
	STEP(ended[t] = (was != 0 -> was : ended[t]))
}

inline revoke(t)
{
	if
	:: mutant == REPLY_FIRST -> STEP(ended[t] = issued[t]); kill_slot()
	:: mutant != REPLY_FIRST -> kill_slot(); STEP(ended[t] = issued[t])
	fi
}

inline lock_and_unlock()
{
	STEP(state = ASK);
	STEP(locks++);
	if
	:: mutant == UNLOCK_FIRST -> STEP(state = GOOD); STEP(locks++)
	:: mutant != UNLOCK_FIRST -> STEP(locks++); STEP(state = GOOD)
	fi
}

/* From here on what ends is not written to this map. */
inline retire()
{
	STEP(state = RETIRED);
	STEP(ended[1] = issued[1]);
	STEP(ended[2] = issued[2])
}

proctype writer()
{
	byte n, left, was, t;

	do
	:: n == STEPS -> break
	:: n < STEPS ->
		n++;
		select(t : 1 .. 2);
		was = (issued[t] > ended[t] -> issued[t] : 0);
		if
		:: access == 0 || id == t -> issue(t)
		:: access == 1 && id == t -> revoke(t)
		:: lock_and_unlock()
		:: retire(); break
		fi
	od
}

/* Whoever kills the writer, the kernel, and the agent that is started then. */
proctype fate()
{
	atomic {
		is_dead = true;
		is_marked = (mutant != MARK_LATE)
	};
	if
	:: ended[1] = issued[1]
	:: ended[2] = issued[2]
	fi;
	is_marked = true
}

inline read_fields()
{
	left = 15;
	do
	:: left & 1 -> r_id = id; left = left & 14
	:: left & 2 -> r_first = first; left = left & 13
	:: left & 4 -> r_second = second; left = left & 11
	:: left & 8 -> r_access = access; left = left & 7
	:: left == 0 -> break
	od
}

inline copy_slot()
{
	if
	:: mutant == FIRST_TOO_LATE ->
		r_second = second; seq_1 = seq; r_id = id; r_first = first; r_access = access; seq_2 = seq
	:: mutant == SECOND_TOO_SOON ->
		seq_1 = seq; r_id = id; r_first = first; r_access = access; seq_2 = seq; r_second = second
	:: mutant != FIRST_TOO_LATE && mutant != SECOND_TOO_SOON ->
		seq_1 = seq; read_fields(); seq_2 = seq
	fi
}

#define IS_WHOLE ((seq_1 % 2 == 0 || mutant == NO_ODD) && (seq_1 == seq_2 || mutant == NO_SECOND_LOOK))

inline look_at_head()
{
	r_before = (mutant == STATE_BEFORE -> r_state : 0);
	r_state = state;
	in_force = (mutant == NO_STATE || (r_before -> r_before : r_state) == GOOD);
	in_force = in_force && (!is_marked || mutant == NO_OWNER)
}

proctype reader()
{
	byte t, left, seq_1, seq_2, r_id, r_first, r_second, r_access, r_state = GOOD, r_before, told_ended, told_locks;
	bool in_force;

	select(t : 1 .. 2);
	/* It begins. */
	atomic { told_ended = ended[t]; told_locks = locks };
	copy_slot();
	look_at_head();
	atomic {
		if
		:: IS_WHOLE && r_id == t && r_access == 1 && in_force ->
			/* It says yes. */
			assert(r_first == r_second);
			assert(r_first > told_ended);
			assert(text[r_first]);
			assert(told_locks % 2 == 0 || told_locks != locks)
		:: else -> skip
		fi
	}
}

init
{
	atomic {
		issued[1] = 1;
		text[1] = true;
		mutant = c_expr { (getenv("MAP_MUTANT") ? atoi(getenv("MAP_MUTANT")) : 0) };
		run writer();
		run fate();
		run reader()
	}
}
