// RST_HD marks a function that both the C++ compiler and nvcc turn into device code. Nothing but the marker differs.
#pragma once

#ifdef __CUDACC__
#define RST_HD __host__ __device__ __forceinline__
#else
#define RST_HD inline __attribute__((always_inline))
#endif
