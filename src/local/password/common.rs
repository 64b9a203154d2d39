//! What everybody tries first.

/// Words that the lists of the most common passwords are made of, by themselves, in pairs, and with digits and signs around them.
const WORDS: &str = "
    password passwort passw passwd pass parola senha contrasena motdepasse geheim secret admin administrator root user guest login letmein
    welcome willkommen bienvenue access changeme change default system server test testing master manager support service internet
    computer network security qwerty qwertyuiop qwertz qwertzuiop azerty azertyuiop asdf asdfgh asdfghjkl yxcvbnm zxcvbn zxcvbnm
    qazwsx qazwsxedc qweasd qweasdzxc zaqwsx abc abcd abcde abcdef abcdefg abcdefgh abcdefghijkl
    iloveyou loveyou ilove love lovely lover sunshine princess prinzessin dragon monkey shadow football fussball baseball
    basketball hockey soccer tennis golf superman batman spiderman starwars startrek pokemon naruto matrix trustno whatever
    freedom killer hunter ranger hello hallo summer sommer winter spring autumn herbst january february march april may june july august
    september october november december monday tuesday wednesday thursday friday saturday sunday michael michelle jennifer jessica
    jordan thomas daniel andrew joshua robert charlie george nicole ashley amanda samantha matthew anthony justin william
    martin andrea stefan sandra angela patrick richard victoria elizabeth alexander alexandra christian christopher benjamin nicholas
    jonathan brandon jasmine natasha vanessa barbara maria anna peter maggie ginger pepper buster tigger cookie chocolate
    banana orange cherry apple strawberry flower butterfly rainbow diamond silver golden purple yellow black white green blue red
    mustang corvette ferrari porsche mercedes yamaha harley chelsea arsenal liverpool barcelona juventus dortmund schalke bayern
    yankees cowboys lakers eagles steelers dolphins raiders redsox thunder phoenix maverick falcon tiger tigers lion panther
    dolphin elephant chicken turtle spider snoopy mickey minnie garfield scooby merlin gandalf samsung google microsoft windows
    facebook linkedin adobe oracle cisco linux ubuntu london paris berlin hamburg america england germany deutschland france
    canada russia india pakistan mexico brazil chicago boston dallas texas florida california newyork money bitcoin forever family
    friends friend angel angels jesus christ heaven blessed god happy lucky crazy sexy fuckyou fuck asshole bitch
    nothing something anything everything mother father daddy mommy babygirl baby player winner champion success
    ninja samurai warrior wizard knight guitar music metallica nirvana slipknot eminem blink linkinpark
    company corporate office business letmepass opensesame sesame usher token key keys temp temporary example demo sample
    ";

/// Rows of a keyboard and of the alphabet: a run along them, in either direction, is no secret.
const ROWS: [&str; 6] = [
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
];
/// Characters of a run at least.
const RUN: usize = 4;
/// Characters besides runs at most.
const BESIDES: usize = 3;

/// Whether a folded password is among the most common ones, or made of one: a common word or two with digits and signs
/// around them, the same few characters again and again, or runs along a keyboard.
pub(super) fn is_common(folded: &str) -> bool {
    repeats(folded) || runs(folded) || is_of_words(folded)
}

/// One to six characters, again and again.
fn repeats(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    (1..=6).any(|period| {
        letters
            .iter()
            .zip(letters.iter().skip(period))
            .all(|(one, next)| one == next)
    })
}

/// Runs, and hardly anything else.
fn runs(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    let (mut at, mut besides) = (0, 0);
    while let Some(rest) = letters.get(at..).filter(|rest| !rest.is_empty()) {
        let longest = ROWS.iter().map(|row| run(rest, row)).max().unwrap_or(0);
        if longest >= RUN {
            at += longest;
        } else {
            at += 1;
            besides += 1;
        }
    }
    besides <= BESIDES
}

/// Letters in front of `text` that go along `row`, forwards or backwards.
fn run(text: &[char], row: &str) -> usize {
    let along = |row: Vec<char>| {
        let starts = (0..row.len()).map(|start| row.get(start..).unwrap_or_default());
        let same = |from: &[char]| {
            let pairs = text.iter().zip(from);
            pairs.take_while(|(one, other)| one == other).count()
        };
        starts.map(same).max().unwrap_or(0)
    };
    along(row.chars().collect()).max(along(row.chars().rev().collect()))
}

/// One or two common words (or one, again and again), once digits and signs are gone or read as the letters that they look like.
fn is_of_words(text: &str) -> bool {
    let looks_like = |letter: char| match letter {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    let letters = |text: &str| -> String {
        text.chars()
            .filter(|letter| letter.is_alphabetic())
            .collect()
    };
    let inside = text.trim_matches(|letter: char| !letter.is_alphabetic());
    let read: String = inside.chars().map(looks_like).collect();
    of_words(&letters(text)) || of_words(&letters(&read))
}

fn of_words(letters: &str) -> bool {
    let words = || WORDS.split_whitespace();
    words().any(|first| {
        let Some(rest) = letters.strip_prefix(first) else {
            return false;
        };
        rest.is_empty()
            || words().any(|second| rest == second)
            || letters == first.repeat(letters.len() / first.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_everybody_tries_first() {
        for text in [
            "password1234",
            "passwordpassword",
            "p@ssw0rd2024!",
            "1234567890123",
            "123456789012345",
            "qwertyuiop123",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "iloveyou1234",
            "letmein!!!!!!",
            "welcome2024!",
            "adminadminadmin",
            "summer2026!!",
            "qwertyqwerty",
            "987654321098",
            "asdfghjkl1234",
            "footballfootball",
            "dragon123456789",
            "123abc123abc",
            "abcdefghijklmn",
            "changeme12345",
            "superman-batman",
            "1q1q1q1q1q1q",
        ] {
            assert!(is_common(text), "{text}");
        }
    }

    #[test]
    fn leaves_passphrases_and_random_ones_alone() {
        for text in [
            "correct horse battery",
            "monkey tennis guitar banana",
            "xkqzvwpmfgtr",
            "7295038416572",
            "my dog eats shoes",
            "kaffee um halb vier",
            "password manager of ann b.",
        ] {
            assert!(!is_common(text), "{text}");
        }
    }
}
