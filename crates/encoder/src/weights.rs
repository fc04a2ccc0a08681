//! The numbers of a model, read from `model.safetensors` in any of its float formats.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::error::{EncoderError, Result};
use crate::folder::Config;

/// A linear layer: `out x in` weights and a bias.
pub(crate) struct Linear {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// Scale and shift after normalisation.
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// One layer.
pub(crate) struct Layer {
    /// Query, key and value in one product.
    pub(crate) attention: Linear,
    pub(crate) attention_out: Linear,
    pub(crate) attention_norm: Norm,
    pub(crate) inner: Linear,
    pub(crate) outer: Linear,
    pub(crate) norm: Norm,
}

/// The encoder without what stands on top of it.
pub(crate) struct Weights {
    pub(crate) words: Vec<f32>,
    pub(crate) positions: Vec<f32>,
    pub(crate) types: Vec<f32>,
    pub(crate) norm: Norm,
    pub(crate) layers: Vec<Layer>,
}

/// An open file of weights.
pub(crate) struct Source<'a> {
    tensors: SafeTensors<'a>,
    path: &'a Path,
    prefix: &'static str,
}

impl<'a> Source<'a> {
    pub(crate) fn open(bytes: &'a [u8], path: &'a Path) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| EncoderError::file(path, error))?;
        let has = |name: &str| tensors.tensor(name).is_ok();
        let prefix = ["", "bert.", "roberta."]
            .into_iter()
            .find(|prefix| has(&format!("{prefix}embeddings.word_embeddings.weight")))
            .ok_or_else(|| EncoderError::file(path, "it holds no model of the BERT family"))?;
        Ok(Self {
            tensors,
            path,
            prefix,
        })
    }

    fn floats(&self, name: &str, count: usize) -> Result<Vec<f32>> {
        let problem = |text: String| EncoderError::file(self.path, format!("{name}: {text}"));
        let tensor = self
            .tensors
            .tensor(name)
            .map_err(|error| problem(error.to_string()))?;
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => tensor
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
            Dtype::BF16 => tensor
                .data()
                .as_chunks::<2>()
                .0
                .iter()
                .map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16))
                .collect(),
            Dtype::F16 => tensor
                .data()
                .as_chunks::<2>()
                .0
                .iter()
                .map(|bytes| half(u16::from_le_bytes(*bytes)))
                .collect(),
            other => return Err(problem(format!("numbers of type {other:?} are not read here"))),
        };
        if values.len() == count {
            Ok(values)
        } else {
            Err(problem(format!("{} numbers instead of {count}", values.len())))
        }
    }

    /// Numbers of a tensor of the encoder whose first extent is free; a row has `width` numbers.
    fn table(&self, name: &str, width: usize) -> Result<Vec<f32>> {
        let name = format!("{}{name}", self.prefix);
        let tensor = self.tensors.tensor(&name);
        let rows = tensor
            .map(|tensor| tensor.shape().first().copied().unwrap_or(0))
            .unwrap_or(0);
        self.floats(&name, rows * width)
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm> {
        let name = format!("{}{name}", self.prefix);
        // Older files call them otherwise.
        let (weight, bias) = if self.has(&format!("{name}.gamma")) {
            ("gamma", "beta")
        } else {
            ("weight", "bias")
        };
        Ok(Norm {
            weight: self.floats(&format!("{name}.{weight}"), width)?,
            bias: self.floats(&format!("{name}.{bias}"), width)?,
        })
    }

    fn inside(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        self.linear(&format!("{}{name}", self.prefix), inputs, outputs)
    }

    /// A linear layer by its whole name.
    pub(crate) fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.floats(&format!("{name}.weight"), inputs * outputs)?,
            bias: self.floats(&format!("{name}.bias"), outputs)?,
            inputs,
            outputs,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    pub(crate) fn encoder(&self, config: &Config) -> Result<Weights> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let layer = |index: usize| {
            let at = |name: &str| format!("encoder.layer.{index}.{name}");
            let mut attention = self.inside(&at("attention.self.query"), width, width)?;
            for name in ["attention.self.key", "attention.self.value"] {
                let more = self.inside(&at(name), width, width)?;
                attention.weight.extend(more.weight);
                attention.bias.extend(more.bias);
            }
            attention.outputs = 3 * width;
            Ok(Layer {
                attention,
                attention_out: self.inside(&at("attention.output.dense"), width, width)?,
                attention_norm: self.norm(&at("attention.output.LayerNorm"), width)?,
                inner: self.inside(&at("intermediate.dense"), width, inner)?,
                outer: self.inside(&at("output.dense"), inner, width)?,
                norm: self.norm(&at("output.LayerNorm"), width)?,
            })
        };
        Ok(Weights {
            words: self.table("embeddings.word_embeddings.weight", width)?,
            positions: self.table("embeddings.position_embeddings.weight", width)?,
            types: self.table("embeddings.token_type_embeddings.weight", width)?,
            norm: self.norm("embeddings.LayerNorm", width)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
        })
    }
}

/// A number of 16 bits.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 31, u32::from(bits) & 1023);
    match exponent {
        0 => f32::from_bits(sign) + (fraction as f32) * 5.960_464_5e-8 * if sign == 0 { 1.0 } else { -1.0 },
        31 => f32::from_bits(sign | 0x7F80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn short_numbers_are_read() {
        for (bits, value) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x7BFF, 65504.0),
            (0x8000, 0.0),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7C01).is_nan());
    }
}
