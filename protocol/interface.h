/*
 * protocol/interface.h - the texts of the interfaces, as introspection gives them:
 * io.jeton.Agent.varlink and io.jeton.Verifier.varlink themselves.
 */
#pragma once

#include "protocol/base/span.h"

struct span interface_text(void);
struct span interface_verifier_text(void);
