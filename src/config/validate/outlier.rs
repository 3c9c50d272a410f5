//! Outlier detection that detects something, in times that make sense.

use super::within;
use crate::config::Problem;
use crate::config::live::{FailurePercentage, OutlierDetection, SuccessRate};
use crate::config::value::Span;

pub(super) fn check(path: &str, rules: &OutlierDetection, problems: &mut Vec<Problem>) {
    let OutlierDetection {
        consecutive_errors,
        interval,
        base_ejection,
        max_ejection,
        max_ejected_percent,
        success_rate,
        failure_percentage,
    } = rules;
    if *consecutive_errors == 0 && success_rate.is_none() && failure_percentage.is_none() {
        let problem = Problem::new(path, "no rule is left, so nothing would ever be ejected");
        problems.push(problem.hint(
            "set `consecutive_errors` above 0, give `success_rate` or `failure_percentage`, or leave the whole out",
        ));
    }
    let hour = Span::secs(3600);
    within(&format!("{path}.interval"), *interval, Span::millis(100), hour, problems);
    within(&format!("{path}.base_ejection"), *base_ejection, Span::millis(100), hour, problems);
    within(&format!("{path}.max_ejection"), *max_ejection, Span::millis(100), Span::secs(86_400), problems);
    if max_ejection < base_ejection {
        let what = format!("`{max_ejection}` is shorter than `base_ejection`, {base_ejection}");
        let problem = Problem::new(format!("{path}.max_ejection"), what);
        problems.push(problem.hint(format!("give {base_ejection} or more, or a shorter `base_ejection`")));
    }
    percent(&format!("{path}.max_ejected_percent"), *max_ejected_percent, 0, problems);
    if let Some(rules) = success_rate {
        rate(&format!("{path}.success_rate"), rules, problems);
    }
    if let Some(FailurePercentage { threshold, minimum_requests: _ }) = failure_percentage {
        percent(&format!("{path}.failure_percentage.threshold"), *threshold, 1, problems);
    }
}

fn rate(path: &str, rules: &SuccessRate, problems: &mut Vec<Problem>) {
    let SuccessRate { minimum_requests: _, minimum_endpoints, deviations } = rules;
    if !(0.1..=10.0).contains(deviations) {
        let what = format!("`{deviations}` is out of range");
        problems.push(Problem::new(format!("{path}.deviations"), what).hint("give 0.1 to 10"));
        return;
    }
    // The only bad one of n is at most sqrt(n - 1) deviations below the mean.
    let least = (deviations * deviations).floor() as u32 + 2;
    if *minimum_endpoints < least {
        let what = format!(
            "with {minimum_endpoints} endpoints nobody can be {deviations} deviations below the mean of all"
        );
        let problem = Problem::new(format!("{path}.minimum_endpoints"), what);
        problems.push(problem.hint(format!("give {least} or more, or fewer `deviations`")));
    }
}

fn percent(path: &str, given: u8, least: u8, problems: &mut Vec<Problem>) {
    if !(least..=100).contains(&given) {
        let what = format!("`{given}` is not a percentage");
        problems.push(Problem::new(path, what).hint(format!("give {least} to 100")));
    }
}
