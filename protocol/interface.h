/*
 * protocol/interface.h - the text of the interface, as introspection gives it:
 * io.jeton.Agent.varlink itself.
 */
#pragma once

#include "protocol/base/span.h"

struct span interface_text(void);
