/* agent/policy/error.h - the first mistake found in a file, and how it is put down. */
#pragma once

/* For people: "FILE:LINE: message" is how it is printed; with line 0, "FILE: message". */
struct policy_error {
	char file[256];	   /* a longer path loses its beginning, which "..." stands for */
	unsigned line;	   /* 0: the file or directory as a whole */
	char message[512]; /* what is wrong and what would be right */
};

/* Puts a mistake down in *e. Always returns -EINVAL, for its caller to hand on. */
int policy_mistake(struct policy_error *e, const char *file, unsigned line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
