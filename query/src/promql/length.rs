//! Durations computed by an expression.

/// A duration as it is written.
#[derive(Clone, Debug)]
pub(super) enum Length {
    Seconds(f64),
    /// Of the query; nought at one time.
    Step,
    Range,
    Negative(Box<Length>),
    Two(Operation, Box<(Length, Length)>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    Least,
    Greatest,
}

impl Length {
    pub(super) fn seconds(&self, step: f64, range: f64) -> f64 {
        match self {
            Self::Seconds(seconds) => *seconds,
            Self::Step => step,
            Self::Range => range,
            Self::Negative(of) => -of.seconds(step, range),
            Self::Two(operation, of) => {
                let (a, b) = (of.0.seconds(step, range), of.1.seconds(step, range));
                match operation {
                    Operation::Add => a + b,
                    Operation::Subtract => a - b,
                    Operation::Multiply => a * b,
                    Operation::Divide => a / b,
                    Operation::Remainder => a % b,
                    Operation::Power => a.powf(b),
                    Operation::Least => a.min(b),
                    Operation::Greatest => a.max(b),
                }
            }
        }
    }
}
