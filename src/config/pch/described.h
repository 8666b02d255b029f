// The same, for libraries whose files describe what a config may say.
#include "base/pch/standard.h"

#include "config/fields.h"
