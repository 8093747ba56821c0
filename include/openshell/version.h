/* SPDX-License-Identifier: MIT */
#ifndef OPENSHELL_VERSION_H
#define OPENSHELL_VERSION_H

#define OSH_VERSION "0.1.0"

#endif
