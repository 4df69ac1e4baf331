//! `ternmq sub`: what is subscribed to, when it ends, and how a message is printed.

use std::time::Duration;

use clap::Args;
use ternmq_proto::Qos;

use super::connection::ConnectionArgs;
use super::value;
use crate::output::Format;

/// Prints the messages of topics, with the options of mosquitto_sub.
///
/// Subscribes and prints each message's payload on a line of its own, until it is interrupted or
/// -C or -W ends it. If the connection is lost it connects and subscribes again.
#[derive(Args)]
#[command(disable_help_flag = true, after_help = AFTER)]
pub struct SubscribeArgs {
    /// Topic filter, with + and #, or $share/GROUP/FILTER; may be repeated
    #[arg(short, long = "topic", value_name = "FILTER", value_parser = value::subscription,
          required_unless_present_any = ["url", "unsubscribe"])]
    pub topics: Vec<String>,
    /// Highest QoS to receive
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = value::qos)]
    pub qos: Qos,
    /// Unsubscribe from a filter (useful with -c); may be repeated
    #[arg(short = 'U', long, value_name = "FILTER", value_parser = value::subscription)]
    pub unsubscribe: Vec<String>,
    /// End after this many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this time, in seconds
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = value::seconds)]
    pub timeout: Option<Duration>,
    /// End once every subscription is acknowledged
    #[arg(short = 'E', long)]
    pub exit_after_subscribe: bool,
    /// Do not print messages of topics that match this filter; may be repeated
    #[arg(short = 'T', long, value_name = "FILTER", value_parser = value::topic_filter)]
    pub filter_out: Vec<String>,
    /// Do not print retained messages
    #[arg(short = 'R', long = "no-retained")]
    pub no_retained: bool,
    /// Print retained messages only, and end at the first that is not
    #[arg(long, conflicts_with = "no_retained")]
    pub retained_only: bool,
    /// Print the topic before the payload
    #[arg(short, long, help_heading = "Output", conflicts_with = "format")]
    pub verbose: bool,
    /// Print no end of line after a message
    #[arg(short = 'N', long = "no-eol", help_heading = "Output")]
    pub no_end_of_line: bool,
    /// Print in a format of your own, such as '%t %q %p'; see below
    #[arg(short = 'F', long, value_name = "FORMAT", help_heading = "Output",
          value_parser = Format::parse)]
    pub format: Option<Format>,
    /// With %j and %J: indent the JSON
    #[arg(long, help_heading = "Output", requires = "format")]
    pub pretty: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

impl SubscribeArgs {
    /// All filters: the options' and the URL's.
    pub fn filters(&self) -> Result<Vec<&str>, String> {
        let mut filters: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        if let Some(url) = &self.connection.url {
            value::subscription(&url.topic).map_err(|error| format!("the URL's topic: {error}"))?;
            filters.push(&url.topic);
        }
        Ok(filters)
    }
}

const AFTER: &str = "\
Format (-F):
  %t topic        %p payload             %x %X payload in hexadecimal   %l payload's length
  %q QoS          %r retained (0 or 1)   %j %J as JSON
  %I time (ISO)   %U time (Unix)         @H @M ... as strftime          @N nanoseconds
  %C content type   %R response topic   %D correlation data   %E message expiry
  %P user properties   %S subscription identifiers   %F payload format   %% @@ \\\\ themselves
  \\n \\t \\r \\0 \\a \\e \\v as in C. A width may follow %: %-10.20t. %J takes the payload as JSON.

Examples:
  ternmq sub -t 'plant/+/temperature' -v
  ternmq sub -t '#' -t '$SYS/#' -F '%I %t %p'
  ternmq sub -t job/# -q 2 -c -i worker-1
  ternmq sub -t '$share/workers/job/#' -q 1
  ternmq sub -t config/# -v -C 1 -W 5
  ternmq sub -t order/# -F %J

Exit codes:
  0  -C messages came, -W passed without -C, or interrupted
  1  failed at run time: no connection, refused by the broker, or -W passed before -C messages came
  2  wrong usage: nothing was sent";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> Result<SubscribeArgs, String> {
        let words = ["ternmq", "sub"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Sub(args) => Ok(args),
            _ => panic!("not sub"),
        }
    }

    #[test]
    fn filters_come_from_everywhere() {
        let it = parse("-t a/# -t $share/g/b -L mqtt://h/c/+").unwrap();
        assert_eq!(it.filters().unwrap(), ["a/#", "$share/g/b", "c/+"]);
        assert!(parse("-U a").unwrap().filters().unwrap().is_empty());
        assert!(parse("").is_err());
        assert!(parse("-t a/#/b").is_err());
        assert!(parse("-L mqtt://h/a/#/b").unwrap().filters().is_err());
    }

    #[test]
    fn the_end_and_the_output_are_chosen() {
        let it = parse("-t a -C 3 -W 1.5 -R -T b/# -N -q 2 -v").unwrap();
        assert_eq!((it.count, it.timeout), (Some(3), Some(Duration::from_millis(1500))));
        assert!(it.no_retained && it.no_end_of_line && it.verbose);
        for bad in
            ["-t a -C 0", "-t a -F %z", "-t a -v -F %t", "-t a -R --retained-only", "-t a --pretty"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
