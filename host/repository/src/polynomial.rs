//! The config's `chunker_polynomial`: a random irreducible polynomial of degree 53 over GF(2), bit n standing for xⁿ. Our own
//! chunker has no use for it; restic refuses a config without, and chunks by it when it writes to the same repository.

const DEGREE: u32 = 53;

/// As the config holds it: hexadecimal.
pub(crate) fn random() -> String {
    loop {
        let candidate = rand::random::<u64>() & ((1 << DEGREE) - 1) | 1 << DEGREE | 1;
        // One in 27 is.
        if is_irreducible(candidate) {
            return format!("{candidate:x}");
        }
    }
}

/// Rabin's test, which is short for a prime degree: irreducible if it has no root (0 or 1) and divides x^(2^53) − x.
fn is_irreducible(polynomial: u64) -> bool {
    let rootless = polynomial & 1 == 1 && polynomial.count_ones() % 2 == 1;
    let x = 2;
    rootless && (0..DEGREE).fold(x, |power, _| square(power, polynomial)) == x
}

/// The square of `value`, modulo `polynomial`.
fn square(value: u64, polynomial: u64) -> u64 {
    let squared = (0..DEGREE).fold(0, |sum: u128, bit| sum | u128::from(value >> bit & 1) << (2 * bit));
    let reduced = (DEGREE..2 * DEGREE).rev().fold(squared, |rest, bit| match rest >> bit & 1 {
        0 => rest,
        _ => rest ^ u128::from(polynomial) << (bit - DEGREE),
    });
    reduced as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_an_irreducible_polynomial() {
        // From restic's design document, and its neighbours.
        assert!(is_irreducible(0x25b468838dcb75));
        assert!(!is_irreducible(0x25b468838dcb75 ^ 0b110));
        assert!(!is_irreducible(0x25b468838dcb74));
        assert!(u64::from_str_radix(&random(), 16).is_ok_and(is_irreducible));
    }
}
