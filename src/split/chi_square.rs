//! The chi-square distribution: how surprising counts are.
//!
//! For whole degrees of freedom its tail is a finite sum (Abramowitz and Stegun, "Handbook of
//! Mathematical Functions", 26.4.4 and 26.4.5): all terms are positive, so nothing cancels and it is
//! right to the last digits however far out. `erfc`, which odd degrees need, is the one of `libm`.
//! The `statrs` crate would do, at the price of fifteen more crates in the lock file.

/// `exp(-x)` is 0 from here on.
const NOTHING: f64 = 745.0;

/// How likely a chi-square of so many `degrees` of freedom is `x` or more. 1 where there is nothing
/// to be surprised by: no degrees, or no `x` above 0. What is below 1e-270 may come out as 0.
pub fn tail(x: f64, degrees: usize) -> f64 {
    if degrees == 0 || x.is_nan() || x <= 0.0 {
        return 1.0;
    }
    let half = x / 2.0;
    if half > NOTHING {
        return 0.0;
    }
    // The sum of `exp(-h) h^p / p!` over the `p` below `degrees / 2`: whole ones from 0, or 1/2, 3/2
    // and so on, where `(1/2)! = sqrt(pi) / 2`.
    let (mut power, mut term, mut sum) = if degrees.is_multiple_of(2) {
        (0.0, (-half).exp(), 0.0)
    } else {
        (0.5, (-half).exp() * (half / std::f64::consts::PI).sqrt() * 2.0, libm::erfc(half.sqrt()))
    };
    for _ in 0..degrees / 2 {
        sum += term;
        power += 1.0;
        term *= half / power;
    }
    // The last bit may be above 1.
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles as printed in tables, by scipy (`chi2.isf`), checked with mpmath to 30 digits.
    #[test]
    fn it_agrees_with_the_tables() {
        let table = [
            (1, 0.95, 0.003_932_140_000_019_531),
            (1, 0.5, 0.454_936_423_119_572_4),
            (1, 0.05, 3.841_458_820_694_128_5),
            (1, 0.001, 10.827_566_170_662_733),
            (1, 1e-12, 50.844_127_911_818_155),
            (2, 0.95, 0.102_586_588_775_101_16),
            (2, 0.05, 5.991_464_547_107_983),
            (3, 0.5, 2.365_973_884_375_337_7),
            (3, 0.001, 16.266_236_196_238_13),
            (10, 0.95, 3.940_299_136_119_061),
            (10, 0.05, 18.307_038_053_275_15),
            (10, 1e-12, 78.471_646_562_838_49),
            (63, 0.95, 45.741_376_841_650_336),
            (63, 0.5, 62.334_602_072_306_15),
            (63, 0.001, 103.442_377_319_873_24),
            (63, 1e-12, 176.713_562_159_226_23),
            (1, 1.795_832_784_800_736_3e-219, 1000.0),
            (3, 4.218_541_107_192_018e-43, 200.0),
        ];
        for (degrees, due, x) in table {
            let got = tail(x, degrees);
            assert!((got / due - 1.0).abs() < 1e-12, "{degrees} degrees, {x}: {got}, due {due}");
        }
    }

    #[test]
    fn two_degrees_are_an_exponential() {
        for step in 1..200 {
            let x = f64::from(step) / 4.0;
            assert!((tail(x, 2) / (-x / 2.0).exp() - 1.0).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn the_ends_are_numbers_too() {
        assert_eq!(tail(0.0, 1), 1.0);
        assert_eq!(tail(-1.0, 1), 1.0);
        assert_eq!(tail(f64::NAN, 1), 1.0);
        assert_eq!(tail(5.0, 0), 1.0);
        assert_eq!(tail(f64::INFINITY, 3), 0.0);
        assert_eq!(tail(f64::MAX, 3), 0.0);
        assert!(tail(f64::MIN_POSITIVE, 63) <= 1.0);
    }
}
