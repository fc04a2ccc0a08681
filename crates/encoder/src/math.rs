//! The loops that must be fast: matrix products (by `gemm`, which picks AVX-512, AVX2 or plain code when it runs),
//! and normalisation, softmax and activation in plain code that is compiled once for AVX2 and once for any machine.
//! The one `unsafe` call of the crate is here, behind checks of its bounds.

use gemm::Parallelism;
use pulp::Arch;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> View<'a> {
    /// Rows one after the other.
    pub(crate) fn rows(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows that begin `row_stride` apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn fits(&self, len: usize) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < len
    }
}

/// `out = scale * a * b`, or `out += scale * a * b` with `add`. Rows of `out` begin `out_stride` apart. Shapes that
/// do not fit leave `out` alone; callers take them from the model's checked sizes.
pub(crate) fn matmul(
    out: &mut [f32],
    out_stride: usize,
    a: View<'_>,
    b: View<'_>,
    scale: f32,
    add: bool,
    threads: Parallelism,
) {
    let target = View::strided(&[], a.rows, b.cols, out_stride);
    let good = a.cols == b.rows
        && out_stride >= b.cols
        && a.fits(a.data.len())
        && b.fits(b.data.len())
        && target.fits(out.len());
    debug_assert!(good, "shapes of a matrix product do not fit");
    if !good || a.rows == 0 || b.cols == 0 {
        return;
    }
    let stride = |n: usize| n as isize;
    #[expect(
        unsafe_code,
        reason = "gemm takes pointers; the checks above keep all of them inside their slices"
    )]
    // SAFETY: every index that gemm forms is `row * row_stride + col * col_stride` below the length checked by
    // `fits`; `out` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out.as_mut_ptr(),
            1,
            stride(out_stride),
            add,
            a.data.as_ptr(),
            stride(a.col_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.col_stride),
            stride(b.row_stride),
            1.0,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

/// e^x for x from -87 to 0 and a little above, in operations that vectorise; relative error below 2e-7.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let square = rest * rest;
    let series = ((((1.987_569_1e-4 * rest + 1.398_199_9e-3) * rest + 8.333_452e-3) * rest + 4.166_579_6e-2)
        * rest
        + 1.666_666_5e-1)
        * rest
        + 0.5;
    let mantissa = series * square + rest + 1.0;
    let power = (shifted.to_bits() as i32 - ROUND.to_bits() as i32 + 127) << 23;
    mantissa * f32::from_bits(power as u32)
}

#[inline(always)]
fn gelu_one(x: f32) -> f32 {
    // Error function by Abramowitz and Stegun 7.1.26; absolute error below 2e-7.
    let z = x * std::f32::consts::FRAC_1_SQRT_2;
    let a = z.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let series =
        ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t + 0.254_829_6) * t;
    let erf = 1.0 - series * exp(-a * a);
    0.5 * x * (1.0 + erf.copysign(z))
}

/// Activation of the inner layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// By the error function.
    Gelu,
    /// By the tangent approximation.
    GeluTanh,
    /// Cut at zero.
    Relu,
}

/// Applies the activation to each number.
pub(crate) fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Gelu => Arch::new().dispatch(
            #[inline(always)]
            || {
                for value in values.iter_mut() {
                    *value = gelu_one(*value);
                }
            },
        ),
        Activation::GeluTanh => {
            for value in values.iter_mut() {
                let x = *value;
                let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
                *value = 0.5 * x * (1.0 + inner.tanh());
            }
        }
        Activation::Relu => {
            for value in values.iter_mut() {
                *value = value.max(0.0);
            }
        }
    }
}

/// Adds `extra` to each row of `values` and brings the rows to mean 0 and variance 1, then scales and shifts them.
pub(crate) fn add_and_normalize(
    values: &mut [f32],
    extra: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
) {
    let width = weight.len();
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, extra) in values.chunks_exact_mut(width).zip(extra.chunks_exact(width)) {
                for (value, extra) in row.iter_mut().zip(extra) {
                    *value += extra;
                }
                normalize_row(row, weight, bias, epsilon);
            }
        },
    );
}

/// Brings one row to mean 0 and variance 1, then scales and shifts it.
pub(crate) fn normalize(values: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in values.chunks_exact_mut(weight.len()) {
                normalize_row(row, weight, bias, epsilon);
            }
        },
    );
}

#[inline(always)]
fn normalize_row(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let count = row.len() as f32;
    let mean = lanes(row, |value| value) / count;
    let variance = lanes(row, |value| (value - mean) * (value - mean)) / count;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *value = (*value - mean) * scale * weight + bias;
    }
}

/// Sum over a row in eight lanes, so that it vectorises.
#[inline(always)]
fn lanes(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; 8];
    let chunks = row.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|value| of(*value)).sum();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += of(*value);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Softmax of each row of `width` numbers.
pub(crate) fn softmax(values: &mut [f32], width: usize) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in values.chunks_exact_mut(width) {
                let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for value in row.iter_mut() {
                    *value = exp(*value - top);
                }
                let scale = 1.0 / lanes(row, |value| value);
                for value in row.iter_mut() {
                    *value *= scale;
                }
            }
        },
    );
}

/// Brings a vector to length 1.
pub(crate) fn to_unit(vector: &mut [f32]) {
    let length = lanes(vector, |value| value * value).sqrt().max(1e-12);
    for value in vector {
        *value /= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_close() {
        for step in 0..2000 {
            let x = -87.0 + step as f32 * 0.0435;
            let (ours, exact) = (exp(x), f64::from(x).exp());
            assert!(
                (f64::from(ours) - exact).abs() <= exact * 3e-7,
                "{x}: {ours} {exact}"
            );
        }
    }

    #[test]
    fn the_activation_matches_its_table() {
        let mut values = [-3.0, -1.0, 0.0, 0.5, 1.0, 3.0];
        activate(&mut values, Activation::Gelu);
        let exact = [
            -0.004_049_694,
            -0.158_655_26,
            0.0,
            0.345_731_23,
            0.841_344_7,
            2.995_950_3,
        ];
        for (ours, exact) in values.iter().zip(exact) {
            assert!((ours - exact).abs() < 1e-6, "{ours} {exact}");
        }
    }

    #[test]
    fn rows_sum_to_one_and_products_add_up() {
        let mut rows = vec![1.0, 2.0, 3.0, -50.0, 0.0, 50.0];
        softmax(&mut rows, 3);
        assert!((rows[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(rows[5] > 0.999_999);
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let mut out = [1.0; 4];
        let (a, b) = (View::rows(&a, 2, 2), View::rows(&b, 2, 2));
        matmul(&mut out, 2, a, b.transposed(), 1.0, true, Parallelism::None);
        assert_eq!(out, [18.0, 24.0, 40.0, 54.0]);
        matmul(&mut out, 2, a, b, 0.5, false, Parallelism::None);
        assert_eq!(out, [9.5, 11.0, 21.5, 25.0]);
    }
}
