//! What usher tells those who ask for trouble: its pages, its log, and apps that fail.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    back_channel,
    judge::{
        Verdict,
        Verdict::{Fails, Holds},
        when,
    },
    latency::Extent,
    predicate::{Predicate, matches},
    run::{Done, Run, SESSION_COOKIE, Stop},
    sessions::plain_get,
};
use crate::support::wire::{Answer, PATIENCE, UNTRUSTED, Wire};

/// How often each side of a comparison is asked.
pub(super) const ROUNDS: usize = 100;

impl Run<'_> {
    /// Pages, and the log as lines.
    pub(super) async fn judge_pages(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
        Ok(Some(match p.name.as_str() {
            "body.no_active" => self.judge_active()?,
            "log.lines" if p.value == "valid_json" => self.judge_log_lines().await,
            _ => return Ok(None),
        }))
    }

    /// True where nothing of what came in could become a part of the page but text.
    fn judge_active(&self) -> Result<Verdict, String> {
        let Some(answer) = &self.last else {
            return Ok(Fails("no answer".to_owned()));
        };
        let value = self.variant.as_str().unwrap_or_default();
        let body = answer.text();
        if !answer.is_html() {
            let told = answer.header("content-type").unwrap_or_default();
            let sniffed = answer.header("x-content-type-options").as_deref() != Some("nosniff");
            let redirect = answer.header("location").is_some();
            return Ok(when(
                redirect || (told.starts_with("application/json") && !sniffed),
                format!("content type {told:?}"),
            ));
        }
        if answer.header("content-type").as_deref() != Some("text/html; charset=utf-8") {
            return Ok(Fails("content type without charset".to_owned()));
        }
        let found = is_active(value, &body)?;
        let shown = if found { body } else { String::new() };
        Ok(when(!found, format!("active content: {shown}")))
    }

    /// True where each line since the variant began is one JSON object; the request's own line must be there.
    async fn judge_log_lines(&mut self) -> Verdict {
        const MARK: &str = "/public/after-the-attack";
        let asked = match self.world.usher().await {
            Ok(usher) => ask(usher.public(), &plain_get(MARK, None)).await,
            Err(why) => return Fails(why),
        };
        if asked.is_none() {
            return Fails("no answer afterwards".to_owned());
        }
        let began = Instant::now();
        while !self.log().contains(MARK) {
            if began.elapsed() > PATIENCE {
                return Fails("the access log has no line of the request".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = self.log();
        let odd = log.lines().find(|line| {
            let object = serde_json::from_str::<Value>(line).is_ok_and(|v| v.is_object());
            !object || line.chars().any(char::is_control)
        });
        match odd {
            Some(line) => Fails(line.to_owned()),
            None => Holds,
        }
    }

    /// Before a request that names a fault of the app: puts that app in the place of the other.
    pub(super) async fn break_app(&mut self, target: &str) -> Done {
        let fault = match target {
            "/upstream-down" => None,
            "/upstream-reset" => Some(()),
            _ => return Ok(()),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        if fault.is_some() {
            let server = tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let mut part = [0; 1024];
                    let _read = stream.readable().await.map(|()| stream.try_read(&mut part));
                }
            });
            self.open.push(Box::new(server));
        }
        self.world.settings.upstream = Some(address);
        self.world.restart().await?;
        self.note_process();
        let to = self.world.usher().await?.public();
        self.browsers.values_mut().for_each(|b| b.move_to(to));
        Ok(())
    }

    /// Asks for something that is known and for something that is not, in turn: who compares the answers must not learn
    /// which was which.
    pub(super) async fn compare_step(&mut self, words: &str) -> Done {
        let pairs = match words {
            "session id" => {
                let mut known = Vec::new();
                // A session that ended, against one that never was.
                let browser = self.actor("alice").await?;
                let ended = browser.cookie(SESSION_COOKIE).unwrap_or_default();
                self.sign_out("alice").await?;
                for n in 0..ROUNDS {
                    let never = random_like(&ended, n);
                    let get =
                        |id: &str| plain_get("/secret", Some(&format!("{SESSION_COOKIE}={id}")));
                    known.push((get(&ended), get(&never)));
                }
                known
            }
            "logout sid" => {
                self.actor("alice").await?;
                let sid = self.world.op1.last_sid().unwrap_or_default();
                let mut pairs = Vec::new();
                for _ in 0..ROUNDS {
                    let known = self.token_about(&sid)?;
                    let unknown = self.token_about(&uuid::Uuid::now_v7().to_string())?;
                    pairs.push((back_channel::call(&known), back_channel::call(&unknown)));
                }
                pairs
            }
            "break-glass user" => return self.compare_local_users().await,
            "scim token" => super::scim::strangers(ROUNDS),
            other => return Err(Stop::Fail(format!("unknown compare {other:?}"))),
        };
        let to = self.world.usher().await?.public();
        self.compare_answers(to, pairs).await
    }

    pub(super) async fn compare_answers(
        &mut self,
        to: std::net::SocketAddr,
        mut pairs: Vec<(String, String)>,
    ) -> Done {
        if self.extent == Extent::Short {
            pairs.truncate(3);
        }
        let (mut times, mut sizes) = ([Vec::new(), Vec::new()], [0_usize; 2]);
        // The first one may end something: that is work which has a cause.
        for (n, (known, unknown)) in pairs.iter().enumerate() {
            let mut statuses = [0; 2];
            for (side, text) in [known, unknown].into_iter().enumerate() {
                let mut wire = Wire::connect(to, UNTRUSTED)
                    .await
                    .map_err(|e| e.to_string())?;
                let began = Instant::now();
                wire.send(text.as_bytes()).await;
                let answer = wire.answer(false, PATIENCE).await;
                let answer = answer.ok_or_else(|| "no answer".to_owned())?;
                if n > 0 {
                    times[side].push(began.elapsed());
                }
                (statuses[side], sizes[side]) = (answer.status, answer.body.len());
            }
            if statuses[0] != statuses[1] {
                self.problems.push(format!("statuses {statuses:?}"));
            }
        }
        let [a, b] = times.map(|mut took| {
            took.sort();
            took[took.len() / 2]
        });
        self.measure("timing_delta_ms", a.abs_diff(b).as_millis());
        self.measure("size_delta", sizes[0].abs_diff(sizes[1]));
        Ok(())
    }
}

async fn ask(to: std::net::SocketAddr, text: &str) -> Option<Answer> {
    let mut wire = Wire::connect(to, UNTRUSTED).await.ok()?;
    wire.send(text.as_bytes()).await;
    wire.answer(false, PATIENCE).await
}

/// Another value of the same form.
fn random_like(id: &str, n: usize) -> String {
    let digits = format!("{n:0>4}");
    let tail = id.get(..id.len().saturating_sub(digits.len()));
    let mut other: String = tail.unwrap_or_default().chars().rev().collect();
    other.push_str(&digits);
    other
}

/// True where `value` became markup of a page, whatever decoded it: as it stands, run by a template, or as a link.
fn is_active(value: &str, page: &str) -> Result<bool, String> {
    const MARKUP: &str = r#"(?i)<script|<img|(href|src|action)\s*=\s*["']?\s*javascript:"#;
    const HANDLER: &str = r"(?i)<[^>]*(onerror|onload)\s*=";
    const COMPUTED: &str = r"49\$\{|\}\}49|49(<|&lt;|&#60;)%";
    let verbatim = value.contains(['<', '>', '"', '\'']) && page.contains(value);
    let handled = matches(HANDLER, &without_quoted(page))?;
    Ok(verbatim || handled || matches(MARKUP, page)? || matches(COMPUTED, page)?)
}

/// A page without the quoted values of attributes: in them a handler is text.
fn without_quoted(page: &str) -> String {
    let (mut bare, mut in_tag, mut quote) = (String::new(), false, None);
    for letter in page.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => continue,
            (None, '<') => in_tag = true,
            (None, '>') => in_tag = false,
            (None, '"' | '\'') if in_tag => quote = Some(letter),
            (None, _) => {}
        }
        bare.push(letter);
    }
    bare
}

#[test]
fn active_content_is_told_from_text() {
    for (value, page) in [
        ("'-alert(1)-'", "<a title=''-alert(1)-''>"),
        ("&lt;script&gt;", "<p><script></p>"),
        ("%3Cscript%3E", "<p><SCRIPT></p>"),
        ("javascript:alert(1)", "<a href=\"javascript:alert(1)\">"),
        ("{{7*7}}${7*7}<%= 7*7 %>", "<p>49${7*7}&lt;%= 7*7 %&gt;</p>"),
        (
            "</title><svg onload=alert(1)>",
            "<title></title><svg onload=alert(1)></title>",
        ),
        (
            "\" onerror=alert(1) x=\"",
            "<input value=\"\" onerror=alert(1) x=''>",
        ),
    ] {
        assert!(is_active(value, page).unwrap(), "{page}");
    }
    for (value, page) in [
        ("<script>", "<p>&lt;script&gt;</p><svg width=\"18\">"),
        ("'-alert(1)-'", "<p>&#39;-alert(1)-&#39;</p>"),
        ("javascript:alert(1)", "<p>javascript:alert(1)</p>"),
        (
            "\" onerror=alert(1) x=\"",
            "<input value=\"&#34; onerror=alert(1) x=&#34;\">",
        ),
        (
            "<svg onload=alert(1)>",
            "<p>&#60;svg onload=alert(1)&#62;</p>",
        ),
    ] {
        assert!(!is_active(value, page).unwrap(), "{page}");
    }
}
