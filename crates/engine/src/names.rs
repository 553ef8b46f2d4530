//! Names for containers that were given none, and what a name may look like.

use crate::Error;

#[rustfmt::skip]
const ADJECTIVES: [&str; 142] = [
    "able", "agile", "ample", "ardent", "artful", "astute", "awake", "balmy", "blithe", "bold",
    "brave", "breezy", "bright", "brisk", "calm", "candid", "careful", "cheerful", "civil",
    "clear", "clever", "comely", "coral", "cordial", "cosy", "crisp", "curious", "daring",
    "dauntless", "deft", "devoted", "diligent", "droll", "eager", "earnest", "easy", "elated",
    "elegant", "eloquent", "fair", "faithful", "famous", "fearless", "fervent", "festive",
    "fleet", "fluent", "fond", "frank", "fresh", "friendly", "gallant", "generous", "genial",
    "gentle", "gifted", "glad", "gleaming", "graceful", "grand", "grateful", "hale", "handy",
    "happy", "hardy", "hearty", "helpful", "honest", "hopeful", "humble", "ideal", "jaunty",
    "jolly", "jovial", "joyful", "keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow",
    "merry", "mighty", "mindful", "modest", "nautical", "neat", "nimble", "noble", "opal",
    "patient", "peaceful", "playful", "plucky", "polite", "proud", "prudent", "quick", "quiet",
    "radiant", "ready", "robust", "rosy", "serene", "sharp", "sincere", "smart", "snug", "sober",
    "solid", "spirited", "sprightly", "stately", "steady", "sterling", "stoic", "sturdy", "sunny",
    "supple", "swift", "tender", "thankful", "thorough", "tidal", "tidy", "tranquil", "trusty",
    "upbeat", "valiant", "vibrant", "vigilant", "vivid", "warm", "watchful", "wily", "winsome",
    "wise", "witty", "worthy", "zealous", "zesty",
];

#[rustfmt::skip]
const SURNAMES: [&str; 232] = [
    "abel", "agnesi", "airy", "alhazen", "amundsen", "anning", "apgar", "archimedes",
    "aristarchus", "arrhenius", "avicenna", "avogadro", "babbage", "baird", "banach", "barton",
    "beaufort", "becquerel", "bell", "bernoulli", "bessel", "bjerknes", "bohr", "boltzmann",
    "boole", "born", "bose", "bowditch", "boyle", "brahe", "braun", "brunel", "cabot", "cannon",
    "cantor", "carnot", "cassini", "cauchy", "cavendish", "celsius", "chandrasekhar", "charcot",
    "chladni", "clairaut", "clausius", "cook", "copernicus", "coriolis", "coulomb", "cousteau",
    "crick", "curie", "cuvier", "dalton", "darwin", "davy", "dedekind", "descartes", "diophantus",
    "dirac", "doppler", "drake", "earhart", "eddington", "edison", "ehrlich", "einstein", "ekman",
    "eratosthenes", "ericsson", "euclid", "euler", "faraday", "fermat", "fermi", "feynman",
    "fibonacci", "fitzroy", "flamsteed", "fleming", "foucault", "fourier", "franklin", "fresnel",
    "froude", "fulton", "galilei", "galois", "galton", "galvani", "gauss", "germain", "gibbs",
    "goddard", "godel", "goeppert", "goodall", "grassmann", "green", "halley", "hamilton",
    "harrison", "harvey", "heaviside", "heisenberg", "helmholtz", "henry", "hermite", "herschel",
    "hertz", "hevelius", "hilbert", "hippocrates", "hodgkin", "hooke", "hopper", "hubble",
    "humboldt", "hutton", "huygens", "hypatia", "jacobi", "jenner", "joule", "kelvin", "kepler",
    "khayyam", "kirchhoff", "koch", "kovalevskaya", "lagrange", "lamarr", "lamb", "laplace",
    "lavoisier", "leavitt", "legendre", "leibniz", "lie", "linnaeus", "lister", "lorentz",
    "lovelace", "lyell", "mach", "magellan", "marconi", "maury", "maxwell", "mayer", "mcclintock",
    "meitner", "mendel", "mendeleev", "mercator", "mersenne", "michelson", "mill", "minkowski",
    "mobius", "montgolfier", "moore", "morse", "murdoch", "nansen", "napier", "nernst", "neumann",
    "newcomen", "newton", "nightingale", "nobel", "noether", "oersted", "ohm", "oppenheimer",
    "pascal", "pasteur", "pauli", "peano", "pitot", "planck", "plimsoll", "poincare", "poisson",
    "priestley", "ptolemy", "pythagoras", "raman", "ramanujan", "rankine", "rayleigh", "reynolds",
    "riemann", "ritter", "roemer", "rontgen", "ross", "rutherford", "sagan", "scoresby",
    "shackleton", "shannon", "snell", "somerville", "stefan", "stevin", "stokes", "strutt",
    "swan", "tesla", "thales", "thomson", "torricelli", "tsiolkovsky", "turing", "venn",
    "vernier", "vespucci", "viete", "volta", "wallace", "watt", "weber", "wegener", "wien",
    "wiener", "wright", "wu", "young", "yukawa", "zeno",
];

/// Puts a name together from random bytes: `steady_plimsoll`. After a few
/// clashes the caller asks for a number behind it.
pub(crate) fn made_up(random: [u8; 4], numbered: bool) -> String {
    let [a, b, c, d] = random.map(usize::from);
    let adjective = ADJECTIVES[(a * 256 + b) % ADJECTIVES.len()];
    let surname = SURNAMES[(c * 256 + d) % SURNAMES.len()];
    let number = if numbered { (a ^ c).to_string() } else { String::new() };
    format!("{adjective}_{surname}{number}")
}

/// Accepts `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, with or without a slash before it.
/// Docker wants two characters at least, and nothing is lost with one.
///
/// # Errors
/// Docker's words for any other.
pub(crate) fn checked(name: &str) -> Result<&str, Error> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let others = bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if first && others {
        Ok(bare)
    } else {
        Err(Error::Invalid(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_name_is_a_valid_one() {
        for byte in 0..=255 {
            let name = made_up([byte, 0, byte, 0], byte % 2 == 0);
            assert!(checked(&name).is_ok(), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused_in_dockers_words() {
        for name in ["", "/", "a/b", "-ab", "a b", "_x", "\u{e9}t\u{e9}"] {
            assert!(checked(name).is_err(), "{name:?}");
        }
        assert_eq!(
            checked("a/b").expect_err("refused").to_string(),
            "Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
        assert_eq!(checked("/web-1").expect("valid"), "web-1");
    }
}
