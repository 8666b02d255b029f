// The config layer: YAML with positions, checked config structs, tables of kinds, help and schema.
// A tour with one example of each is in tests/unit/config_test.cpp.
#pragma once

#include "config/check.h"
#include "config/describe.h"
#include "config/dump.h"
#include "config/duration.h"
#include "config/fields.h"
#include "config/load.h"
#include "config/registry.h"
#include "config/report.h"
#include "config/source.h"
#include "config/suggest.h"
#include "config/value.h"
