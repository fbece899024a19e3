/* Included before every file: calls that have no safe use are compile errors (git's banned.h). */
#pragma once

/* System headers first, so that poisoning does not hit their own text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol atoll atof gets
#pragma GCC poison gmtime localtime ctime asctime system popen
