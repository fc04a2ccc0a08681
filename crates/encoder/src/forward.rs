//! The encoder's computation: tokens of several texts in, one vector per token out. Texts of one call stand behind
//! each other without padding, so no work is done for nothing.

use gemm::Parallelism;
use rayon::prelude::*;

use crate::folder::Config;
use crate::math::{self, Activation, View};
use crate::tokens::Tokens;
use crate::weights::{Linear, Weights};

/// Rows that one task normalises or activates.
const ROWS: usize = 32;

/// Vectors of the tokens of `texts`, one row each, text after text.
pub(crate) fn run(weights: &Weights, config: &Config, activation: Activation, texts: &[&Tokens]) -> Vec<f32> {
    let width = config.hidden_size;
    let mut hidden = embed(weights, config, texts);
    let total = hidden.len() / width;
    let mut fused = vec![0.0; total * 3 * width];
    let mut context = vec![0.0; total * width];
    let mut wide = vec![0.0; total * config.intermediate_size];
    let mut narrow = vec![0.0; total * width];
    for layer in &weights.layers {
        apply(&layer.attention, &hidden, &mut fused);
        attend(config, texts, &fused, &mut context);
        apply(&layer.attention_out, &context, &mut narrow);
        normalize(&mut hidden, &narrow, &layer.attention_norm, config);
        apply(&layer.inner, &hidden, &mut wide);
        wide.par_chunks_mut(ROWS * config.intermediate_size)
            .for_each(|rows| math::activate(rows, activation));
        apply(&layer.outer, &wide, &mut narrow);
        normalize(&mut hidden, &narrow, &layer.norm, config);
    }
    hidden
}

fn embed(weights: &Weights, config: &Config, texts: &[&Tokens]) -> Vec<f32> {
    let width = config.hidden_size;
    let row = |table: &'_ [f32], index: usize| -> Vec<f32> {
        let start = index * width;
        table.get(start..start + width).unwrap_or(&[]).to_vec()
    };
    let mut hidden = Vec::new();
    for text in texts {
        for (place, (id, kind)) in text.ids.iter().zip(&text.kinds).enumerate() {
            let mut vector = row(&weights.words, *id as usize);
            vector.resize(width, 0.0);
            for extra in [
                row(&weights.positions, place + config.first_position()),
                row(&weights.types, *kind as usize),
            ] {
                for (value, extra) in vector.iter_mut().zip(extra) {
                    *value += extra;
                }
            }
            hidden.extend(vector);
        }
    }
    math::normalize(
        &mut hidden,
        &weights.norm.weight,
        &weights.norm.bias,
        config.layer_norm_eps,
    );
    hidden
}

/// `out = input * weight^T + bias` for every row.
pub(crate) fn apply(layer: &Linear, input: &[f32], out: &mut [f32]) {
    let rows = input.len() / layer.inputs;
    for row in out.chunks_exact_mut(layer.outputs) {
        row.copy_from_slice(&layer.bias);
    }
    let weight = View::rows(&layer.weight, layer.outputs, layer.inputs).transposed();
    let input = View::rows(input, rows, layer.inputs);
    math::matmul(
        out,
        layer.outputs,
        input,
        weight,
        1.0,
        true,
        Parallelism::Rayon(0),
    );
}

/// Each text attends to itself; texts are shared out among the threads.
fn attend(config: &Config, texts: &[&Tokens], fused: &[f32], context: &mut [f32]) {
    let width = config.hidden_size;
    let mut jobs = Vec::with_capacity(texts.len());
    let (mut input, mut output) = (fused, context);
    for text in texts {
        let count = text.ids.len();
        let (own, rest) = input.split_at(count * 3 * width);
        let (target, later) = output.split_at_mut(count * width);
        jobs.push((count, own, target));
        (input, output) = (rest, later);
    }
    jobs.into_par_iter()
        .for_each(|(count, fused, context)| attend_one(config, count, fused, context));
}

fn attend_one(config: &Config, count: usize, fused: &[f32], context: &mut [f32]) {
    let width = config.hidden_size;
    let head = width / config.num_attention_heads;
    let scale = 1.0 / (head as f32).sqrt();
    let mut scores = vec![0.0; count * count];
    for index in 0..config.num_attention_heads {
        let part =
            |which: usize| View::strided(&fused[which * width + index * head..], count, head, 3 * width);
        math::matmul(
            &mut scores,
            count,
            part(0),
            part(1).transposed(),
            scale,
            false,
            Parallelism::None,
        );
        math::softmax(&mut scores, count);
        let scores = View::rows(&scores, count, count);
        let target = &mut context[index * head..];
        math::matmul(target, width, scores, part(2), 1.0, false, Parallelism::None);
    }
}

fn normalize(hidden: &mut [f32], extra: &[f32], norm: &crate::weights::Norm, config: &Config) {
    let size = ROWS * config.hidden_size;
    hidden
        .par_chunks_mut(size)
        .zip(extra.par_chunks(size))
        .for_each(|(rows, extra)| {
            math::add_and_normalize(rows, extra, &norm.weight, &norm.bias, config.layer_norm_eps);
        });
}
