/*
 * protocol/interface.c - io.jeton.Agent.varlink and io.jeton.Verifier.varlink, built in: the one text
 * of each interface there is.
 */
#include "protocol/interface.h"

#define BUILT_IN(name, file)                       \
	__asm__(".section .rodata\n"               \
		".globl " name "_start\n"          \
		".hidden " name "_start\n"         \
		name "_start:\n"                   \
		".incbin \"" file "\"\n"           \
		".globl " name "_end\n"            \
		".hidden " name "_end\n"           \
		name "_end:\n"                     \
		".byte 0\n"                        \
		".previous\n")

BUILT_IN("jeton_interface", "protocol/io.jeton.Agent.varlink");
BUILT_IN("jeton_verifier_interface", "protocol/io.jeton.Verifier.varlink");

extern const char jeton_interface_start[], jeton_interface_end[];
extern const char jeton_verifier_interface_start[], jeton_verifier_interface_end[];

struct span interface_text(void)
{
	return (struct span){ jeton_interface_start,
			      (size_t)(jeton_interface_end - jeton_interface_start) };
}

struct span interface_verifier_text(void)
{
	return (struct span){ jeton_verifier_interface_start,
			      (size_t)(jeton_verifier_interface_end -
				       jeton_verifier_interface_start) };
}
