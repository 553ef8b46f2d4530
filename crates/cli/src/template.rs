//! Go's text templates, for `--format`.

use crate::error::{Error, Outcome};
use gtmpl_value::{FuncError, Value as Go};
use serde_json::Value;

/// A template with Docker's functions added to Go's.
pub struct Template(gtmpl::Template);

impl Template {
    /// Parses `text`, in which `\t` and `\n` mean themselves.
    ///
    /// # Errors
    /// If it is no template.
    pub fn new(text: &str) -> Outcome<Self> {
        let mut template = gtmpl::Template::default();
        template.add_funcs(&[
            ("json", json as gtmpl_value::Func),
            ("join", join),
            ("split", split),
            ("lower", |words| each(words, str::to_lowercase)),
            ("upper", |words| each(words, str::to_uppercase)),
            ("title", |words| each(words, title)),
            ("println", println),
            ("truncate", truncate),
        ]);
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        template.parse(text).map_err(|error| Error::Template(error.to_string()))?;
        Ok(Self(template))
    }

    /// Fills it in.
    ///
    /// # Errors
    /// If it asks for what the data has not.
    pub fn fill(&self, data: &Value) -> Outcome<String> {
        let context = gtmpl::Context::from(go(data));
        self.0.render(&context).map_err(|error| Error::Template(error.to_string()))
    }
}

fn go(value: &Value) -> Go {
    match value {
        Value::Null => Go::Nil,
        Value::Bool(b) => Go::Bool(*b),
        Value::Number(n) => n
            .as_i64()
            .map(Go::from)
            .or_else(|| n.as_u64().map(Go::from))
            .or_else(|| n.as_f64().map(Go::from))
            .unwrap_or(Go::NoValue),
        Value::String(s) => Go::String(s.clone()),
        Value::Array(list) => Go::Array(list.iter().map(go).collect()),
        Value::Object(map) => {
            Go::Map(map.iter().map(|(key, value)| (key.clone(), go(value))).collect())
        }
    }
}

fn plain(value: &Go) -> Value {
    match value {
        Go::NoValue | Go::Nil | Go::Function(_) => Value::Null,
        Go::Bool(b) => Value::Bool(*b),
        Go::String(s) => Value::String(s.clone()),
        Go::Object(map) | Go::Map(map) => {
            // A map here has no order: sort, as Go does.
            let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
            Value::Object(
                sorted.into_iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
            )
        }
        Go::Array(list) => Value::Array(list.iter().map(plain).collect()),
        Go::Number(n) => n
            .as_i64()
            .map(Value::from)
            .or_else(|| n.as_u64().map(Value::from))
            .or_else(|| n.as_f64().map(Value::from))
            .unwrap_or(Value::Null),
    }
}

type Filled = Result<Go, FuncError>;

fn need(words: &[Go], count: usize, name: &str) -> Result<(), FuncError> {
    if words.len() == count {
        return Ok(());
    }
    Err(FuncError::Generic(format!("{name} takes {count} arguments")))
}

fn text(value: &Go) -> String {
    match value {
        Go::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn json(words: &[Go]) -> Filled {
    need(words, 1, "json")?;
    Ok(Go::String(plain(&words[0]).to_string()))
}

fn join(words: &[Go]) -> Filled {
    need(words, 2, "join")?;
    let Go::Array(list) = &words[0] else {
        return Err(FuncError::Generic("join takes a list".into()));
    };
    let list: Vec<String> = list.iter().map(text).collect();
    Ok(Go::String(list.join(&text(&words[1]))))
}

fn split(words: &[Go]) -> Filled {
    need(words, 2, "split")?;
    let (whole, by) = (text(&words[0]), text(&words[1]));
    Ok(Go::Array(whole.split(&by).map(Go::from).collect()))
}

fn each(words: &[Go], change: impl Fn(&str) -> String) -> Filled {
    need(words, 1, "this function")?;
    Ok(Go::String(change(&text(&words[0]))))
}

fn title(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[expect(clippy::unnecessary_wraps, reason = "a function of a template returns a result")]
fn println(words: &[Go]) -> Filled {
    let words: Vec<String> = words.iter().map(text).collect();
    Ok(Go::String(words.join(" ") + "\n"))
}

fn truncate(words: &[Go]) -> Filled {
    need(words, 2, "truncate")?;
    let length = text(&words[1]).parse().unwrap_or(usize::MAX);
    Ok(Go::String(text(&words[0]).chars().take(length).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(template: &str, data: &Value) -> String {
        Template::new(template).and_then(|t| t.fill(data)).expect("a good template")
    }

    #[test]
    fn what_scripts_ask_inspect_for() {
        let data = json!({"State": {"Pid": 7, "Running": true}, "Name": "/a", "Mounts": [{"Type": "bind"}],
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}}, "Labels": {"com.example.x": "y"}});
        assert_eq!(filled("{{.State.Pid}}", &data), "7");
        assert_eq!(filled("{{range .Networks}}{{.IPAddress}}{{end}}", &data), "172.17.0.2");
        assert_eq!(filled("{{index .Labels \"com.example.x\"}}", &data), "y");
        assert_eq!(filled("{{json .State}}", &data), r#"{"Pid":7,"Running":true}"#);
        assert_eq!(filled("{{if .State.Running}}up{{else}}down{{end}}", &data), "up");
        assert_eq!(filled("{{range $k, $v := .Networks}}{{$k}}{{end}}", &data), "bridge");
        assert_eq!(filled("{{(index .Mounts 0).Type}}", &data), "bind");
        assert_eq!(filled("{{.Name}}\\t{{len .Mounts}}", &data), "/a\t1");
        assert_eq!(filled("{{upper .Name}} {{join (split .Name \"/\") \"-\"}}", &data), "/A -a");
    }

    #[test]
    fn no_template_is_an_error_not_a_panic() {
        assert!(Template::new("{{.State").is_err());
        assert!(Template::new("{{end}}").is_err());
    }
}
