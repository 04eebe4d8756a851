// The number types of the kernels: float, double, Complex<float> and Complex<double>, with NumPy's and CuPy's layout.

using Size = long long;

template <typename T>
struct alignas(2 * sizeof(T)) Complex {
    T re, im;
    Complex() = default;
    __device__ Complex(T re, T im = 0) : re(re), im(im) {}
    template <typename S>
    __device__ explicit Complex(Complex<S> z) : re(T(z.re)), im(T(z.im)) {}
};

template <typename T>
__device__ Complex<T> operator+(Complex<T> a, Complex<T> b) { return {a.re + b.re, a.im + b.im}; }
template <typename T>
__device__ Complex<T> operator+(Complex<T> a, T b) { return {a.re + b, a.im}; }
template <typename T>
__device__ Complex<T> operator*(Complex<T> a, Complex<T> b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <typename T>
__device__ Complex<T> operator*(Complex<T> a, T b) { return {a.re * b, a.im * b}; }

template <typename T>
__device__ Complex<T> conj(Complex<T> a) { return {a.re, -a.im}; }
inline __device__ float conj(float a) { return a; }
inline __device__ double conj(double a) { return a; }

inline __device__ bool is_finite(float a) { return a - a == 0; }  // inf - inf and nan - nan are nan
inline __device__ bool is_finite(double a) { return a - a == 0; }
template <typename T>
__device__ bool is_finite(Complex<T> a) { return is_finite(a.re) && is_finite(a.im); }

inline __device__ float size(float a) { return a < 0 ? -a : a; }
inline __device__ double size(double a) { return a < 0 ? -a : a; }
template <typename T>
__device__ T size(Complex<T> a) { return size(a.re) + size(a.im); }

// True if the product of several factors may replace them. A large product may not: times a state it overflows, or it
// loses digits that the terms between the factors would have cancelled. (nan <= 1000 is false.)
template <typename T>
__device__ bool is_tame(T product) { return size(product) <= 1000; }

inline __device__ Size smaller(Size a, Size b) { return a < b ? a : b; }
