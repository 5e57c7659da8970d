/*
 * protocol/interface.c - io.jeton.Agent.varlink, built in: the one text of the interface there is.
 */
#include "protocol/interface.h"

__asm__(".section .rodata\n"
	".globl jeton_interface_start\n"
	".hidden jeton_interface_start\n"
	"jeton_interface_start:\n"
	".incbin \"protocol/io.jeton.Agent.varlink\"\n"
	".globl jeton_interface_end\n"
	".hidden jeton_interface_end\n"
	"jeton_interface_end:\n"
	".byte 0\n"
	".previous\n");

extern const char jeton_interface_start[], jeton_interface_end[];

struct span interface_text(void)
{
	return (struct span){ jeton_interface_start,
			      (size_t)(jeton_interface_end - jeton_interface_start) };
}
