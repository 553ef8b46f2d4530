//! Go's text templates, for `--format`, on JSON.
//!
//! - `lex`: text into tokens
//! - `parse`: tokens into nodes
//! - `fill`: nodes and data into text
//! - `functions`: what a template may call
//!
//! Objects are gone through in the order of their keys, and what they have not
//! is an error, as Go and Docker have it.

mod fill;
mod functions;
mod lex;
mod parse;

pub use functions::shown;

use crate::error::{Error, Outcome};
use serde_json::Value;

/// Where a row keeps its labels one by one, for `.Label "key"`; not shown.
pub const LABELS: &str = "\0labels";

/// What may be there and is not; not shown.
const ABSENT: &str = "\0absent";

/// An object of `inspect` with what Docker's own type has and its JSON leaves
/// out, so that a template may ask whether it is there.
pub fn whole(value: &Value) -> Value {
    const LEFT_OUT: [(&str, &[&str]); 3] = [
        ("State", &["Health"]),
        (
            "Config",
            &["ExposedPorts", "Healthcheck", "Shell", "StopSignal", "StopTimeout", "MacAddress"],
        ),
        ("HostConfig", &["Annotations", "Init", "StorageOpt", "Sysctls", "Tmpfs"]),
    ];
    let mut value = value.clone();
    if value["State"].is_object() {
        for (part, fields) in LEFT_OUT {
            let Some(part) = value[part].as_object_mut() else { continue };
            for field in fields {
                part.entry(*field).or_insert(ABSENT.into());
            }
        }
    }
    value
}

/// A template with Docker's functions added to Go's.
pub struct Template(Vec<parse::Node>);

impl Template {
    /// Parses `text`, in which `\t` and `\n` mean themselves.
    ///
    /// # Errors
    /// If it is no template.
    pub fn new(text: &str) -> Outcome<Self> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        parse::parse(&text).map(Self).map_err(Error::Template)
    }

    /// Fills it in.
    ///
    /// # Errors
    /// If it asks for what the data has not.
    pub fn fill(&self, data: &Value) -> Outcome<String> {
        fill::fill(&self.0, data).map_err(Error::Template)
    }
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
    fn a_row_tells_its_labels_one_by_one_and_hides_them() {
        let row = json!({"Names": "a", (LABELS): {"k": "v,w=x"}});
        assert_eq!(filled("{{.Label \"k\"}}|{{.Label \"none\"}}", &row), "v,w=x|");
        assert_eq!(filled("{{json .}}", &row), r#"{"Names":"a"}"#);
        assert_eq!(shown(&row), json!({"Names": "a"}));
    }

    #[test]
    fn what_is_not_there_is_an_error_and_what_may_be_is_not() {
        let data = json!({"State": {"Pid": 7}, "Config": {}, "HostConfig": {}});
        let fill = |text: &str| Template::new(text).and_then(|t| t.fill(&whole(&data)));
        assert!(fill("{{.Nope}}").is_err() && fill("{{.State.Nope}}").is_err());
        let health = "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}";
        assert_eq!(fill(health).expect("fits"), "none");
        assert_eq!(fill("{{json .State}}").expect("fits"), r#"{"Pid":7}"#);
        let words = fill("{{.Nope}}").expect_err("not there").to_string();
        assert_eq!(words, "cannot use the format: there is no field \"Nope\"");
    }

    #[test]
    fn no_template_is_an_error_not_a_panic() {
        assert!(Template::new("{{.State").is_err());
        assert!(Template::new("{{end}}").is_err());
    }

    #[test]
    fn objects_are_gone_through_in_order() {
        let data = json!({"Ports": {"9000/tcp": 1, "80/tcp": 2, "81/udp": null}, "L": [5, 6]});
        let ports = "{{range $p, $n := .Ports}}{{$p}}={{$n}} {{end}}";
        assert_eq!(filled(ports, &data), "80/tcp=2 81/udp=<no value> 9000/tcp=1 ");
        assert_eq!(filled("{{range $i, $v := .L}}{{$i}}{{$v}}{{else}}none{{end}}", &data), "0516");
        assert_eq!(filled("{{range .None}}x{{else}}none{{end}}", &json!({"None": null})), "none");
        assert_eq!(filled("{{range .L}}{{if eq . 6}}{{break}}{{end}}{{.}}{{end}}", &data), "5");
        assert_eq!(
            filled("{{.Ports}} {{.L}}", &data),
            "map[80/tcp:2 81/udp:<nil> 9000/tcp:1] [5 6]"
        );
    }

    #[test]
    fn blanks_comments_and_variables_are_gos() {
        let data = json!({"A": {"B": "b"}, "N": 3, "E": ""});
        assert_eq!(filled("x {{- /* why */ -}} y", &data), "xy");
        assert_eq!(filled("{{$a := .A}}{{with $a.B}}{{.}}{{$.N}}{{end}}", &data), "b3");
        assert_eq!(filled("{{with .E}}{{.}}{{else}}empty{{end}}", &data), "empty");
        assert_eq!(filled("{{if .E}}1{{else if gt .N 2}}2{{else}}3{{end}}", &data), "2");
        assert_eq!(filled("{{printf \"%-5s|%03d|%.2f\" .A.B .N 1.5}}", &data), "b    |003|1.50");
        assert_eq!(filled("{{.A.B | printf \"%q\"}} {{len .A}} {{not .E}}", &data), "\"b\" 1 true");
        assert_eq!(filled("{{and .N .A.B}} {{or .E .N}} {{ne .N 4}}", &data), "b 3 true");
        assert_eq!(filled("{{`{{raw}}`}}{{\"}}\"}}", &data), "{{raw}}}}");
        assert_eq!(filled("{{pad .A.B 1 2}}.{{truncate \"abc\" 2}}", &data), " b  .ab");
    }

    #[test]
    fn mistakes_are_told() {
        let data = json!({"A": {"B": "b"}, "L": [1]});
        let told = |text: &str| {
            Template::new(text).and_then(|t| t.fill(&data)).expect_err(text).to_string()
        };
        for (text, part) in [
            ("{{.A", "unclosed action"),
            ("{{if .A}}", "without {{end}}"),
            ("{{nope .A}}", "function \"nope\" not defined"),
            ("{{.A.B.C}}", "no \"C\""),
            ("{{$x}}", "undefined variable \"$x\""),
            ("{{index .L 7}}", "out of range"),
            ("{{.A .L}}", "non-function .A"),
            ("{{(.A}}", "unclosed left parenthesis"),
            ("{{.A)}}", "unexpected"),
            ("{{|}}", "missing value"),
            ("{{\"x}}", "unclosed action"),
            ("{{truncate \"x\" 99999999999}}", "is no length"),
            ("{{printf \"%999999999999d\" 1 | len | lt 5000}}{{.No}}", "no field \"No\""),
        ] {
            assert!(told(text).contains(part), "{text}: {}", told(text));
        }
    }
}
