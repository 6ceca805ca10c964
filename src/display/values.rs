//! `evcxr_display` for every public value.

use super::{REPORT, print_line, show};
use crate::Result;
use crate::check::Checks;
use crate::data::{Images, Split};
use crate::detector::{Detections, Detector, ErrorMaps, Verification};
use crate::evaluation::{Baseline, Comparison, Evaluation, FitOn, ScoreTable};
use crate::figure::{Figure, Format, escape};
use crate::latent::Latents;
use crate::model::{Architecture, Plan};
use crate::run::{BackgroundTraining, Run};
use crate::score::{Picks, Ranking, Scores};
use crate::sweep::Sweep;
use crate::table::Table;
use crate::train::{Autoencoder, History, Learnt, StoppedBecause};
use crate::views::Maps;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

/// Indices that the report lists of a ranking's worst and best.
const REPORTED: usize = 9;

impl Figure {
    /// Shows the figure in a notebook; prints its size and alternative text in a terminal.
    pub fn evcxr_display(&self) {
        let body = match self.format() {
            Format::Svg => String::from_utf8_lossy(self.bytes()),
            Format::Png => BASE64_STANDARD.encode(self.bytes()).into(),
        };
        show(&[(self.format().mime_type(), &body), ("text/plain", self.alt())], &self.to_string());
    }
}

impl Table {
    /// Shows the table as HTML in a notebook and as text in a terminal.
    pub fn evcxr_display(&self) {
        Page::new(self.to_string()).html(&self.to_html()).show();
    }
}

impl Plan {
    /// Shows the layers, their shapes and parameters.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

impl Architecture {
    /// Shows the layers, their shapes and parameters for images of a usual size; the bare layers where none fits.
    pub fn evcxr_display(&self) {
        match self.usual_plan() {
            Some(plan) => plan.evcxr_display(),
            None => Page::new(self.to_string()).html(&format!("<pre>{}</pre>", escape(&self.to_string()))).show(),
        }
    }
}

impl Split {
    /// Shows what the data are, with a few of the test images.
    pub fn evcxr_display(&self) {
        let mut table = Table::new(self.name(), &["", ""]);
        table.push(vec!["training images".into(), self.train().len().to_string()]);
        table.push(vec!["test images".into(), self.test().len().to_string()]);
        if !self.held_out().is_empty() {
            table.push(vec!["held-out classes".into(), self.held_out().join(", ")]);
        }
        if let Some(anomalies) = self.test().anomalies() {
            let n_anomalies = anomalies.iter().filter(|&&anomaly| anomaly).count();
            table.push(vec!["anomalies among the test images".into(), n_anomalies.to_string()]);
        }
        table.push(vec!["source".into(), self.origin()]);
        let report = json!({"data": {
            "name": self.name(),
            "n_train": self.train().len(),
            "n_test": self.test().len(),
            "held_out": self.held_out(),
        }});
        Page::new(self.to_string())
            .html(&table.to_html())
            .figure(self.test().figure("Some test images"))
            .report(&report)
            .show();
    }
}

impl Images {
    /// Shows a few of the images.
    pub fn evcxr_display(&self) {
        Page::new(self.to_string())
            .figure(self.figure(&format!("{} of {} images", 16.min(self.len()), self.len())))
            .show();
    }
}

impl History {
    /// Shows the loss curve, the numbers of the training and how it ended.
    pub fn evcxr_display(&self) {
        Page::new(self.to_string()).history(self).show();
    }
}

impl Autoencoder {
    /// Shows the size of the network, the numbers of its training and the loss curve.
    pub fn evcxr_display(&self) {
        let plan = self.plan();
        let (n_parameters, n_latents) = (plan.n_parameters(), plan.n_latents());
        let size = format!(": {n_parameters} parameters, code of {n_latents} values, trained on {}", self.trained_on());
        let learnt = self.history().learnt;
        let mut report = json!({"models": {self.name(): {
            "parameters": n_parameters,
            "epochs": self.history().epochs.len(),
            "seconds": self.history().seconds,
            "loss_first": self.history().loss_first,
            "loss_last": self.history().loss_last(),
            "variance_explained": learnt.map(|learnt| learnt.variance_explained),
            "variance_explained_normal": learnt.and_then(|learnt| learnt.variance_explained_normal),
            "reconstruction_variance": learnt.map(|learnt| learnt.reconstruction_variance),
            // Null where there is none: a later model of the same name takes the warning of an earlier one back.
            "warning": learnt.and_then(|learnt| learnt.warning()),
        }}});
        // A time limit was asked for; everything else that ends a training early is a failure of the report.
        let is_as_asked =
            matches!(self.history().stopped_because, StoppedBecause::Finished | StoppedBecause::TimeLimit { .. });
        if let (false, Some(warning)) = (is_as_asked, self.history().warning()) {
            report["failures"] = json!([format!("{}: {warning}", self.name())]);
        }
        Page::new(self.to_string())
            .html(&format!("<p><b>{}</b>{}</p>", escape(self.name()), escape(&size)))
            .history(self.history())
            .report(&report)
            .show();
    }
}

impl Run {
    /// Shows where the run lies, whether it is finished, and its model.
    pub fn evcxr_display(&self) {
        let state = if self.is_finished { "finished" } else { "not finished; training in its folder goes on with it" };
        let html = format!("<p>{}</p>", escape(&format!("{}: {state}", self.folder.display())));
        Page::new(self.to_string()).html(&html).history(self.model.history()).show();
    }
}

impl BackgroundTraining {
    /// Shows how far it is, and the loss curve once an epoch is finished.
    pub fn evcxr_display(&self) {
        let (text, history) = (self.to_string(), self.history());
        let page = Page::new(text.clone()).html(&format!("<p>{}</p>", escape(&text)));
        if history.epochs.is_empty() { page } else { page.history(&history) }.show();
    }
}

impl Ranking {
    /// Shows the mean error, the AUC where labels are known, and the indices of the worst and best.
    pub fn evcxr_display(&self) {
        let [worst, best] = self.extremes(REPORTED);
        let report = json!({"models": {self.scores.model.as_str(): {
            "auc_reconstruction": self.scores.auc().ok(),
            "mse_mean": self.mse_mean(),
            "worst": worst,
            "best": best,
        }}});
        Page::new(self.to_string()).learnt(self.learnt()).html(&self.table().to_html()).report(&report).show();
    }
}

impl Picks {
    /// Shows the images with their errors.
    pub fn evcxr_display(&self) {
        show_figure(self.figure(), self.to_string());
    }
}

impl Scores {
    /// Shows a histogram.
    pub fn evcxr_display(&self) {
        show_figure(self.figure(), self.to_string());
    }
}

impl ScoreTable {
    /// Shows evaluation mode, AUC and its interval.
    pub fn evcxr_display(&self) {
        let aucs: Map<String, Value> =
            self.rows.iter().map(|row| (row.evaluation.key(), json!(row.auc().map(|auc| auc.value)))).collect();
        let name = match self.fit_on {
            FitOn::Train => "auc",
            FitOn::Test => "auc_fitted_on_test",
        };
        let of_baselines = self.baselines.iter();
        let of_baselines: Map<String, Value> = of_baselines
            .map(|Baseline { name, outcome }| (name.clone(), json!(outcome.auc().map(|auc| auc.value))))
            .collect();
        let report = json!({"models": {self.model.as_str(): {name: aucs, "auc_of_baselines": of_baselines}}});
        Page::new(self.to_string()).learnt(self.learnt).html(&self.table().to_html()).report(&report).show();
    }
}

impl Detector {
    /// Shows what it is, what it was fitted to and what its threshold promises.
    pub fn evcxr_display(&self) {
        Page::new(self.to_string()).html(&paragraphs(&self.to_string())).show();
    }
}

impl Verification {
    /// Shows whether the images score as they did.
    pub fn evcxr_display(&self) {
        Page::new(self.to_string()).show();
    }
}

impl Detections {
    /// Shows what was found, and the images with the highest scores.
    pub fn evcxr_display(&self) {
        let k = REPORTED.min(self.is_anomaly.len());
        Page::new(self.to_string()).html(&self.table().to_html()).figure(self.figure(k)).show();
    }
}

impl ErrorMaps {
    /// Shows images, and where their reconstructions differ.
    pub fn evcxr_display(&self) {
        let (n, _, _) = self.values.dim();
        show_figure(self.figure(), format!("error maps of {n} images"));
    }
}

impl Comparison {
    /// Shows both AUCs, and whether the difference is more than chance.
    pub fn evcxr_display(&self) {
        Page::new(self.to_string()).html(&self.table().to_html()).show();
    }
}

impl Maps {
    /// Shows the maps side by side, in one colour, and how clearly each is two groups.
    pub fn evcxr_display(&self) {
        let table = self.table();
        let text = format!("{} maps by {}\n{table}", self.maps.len(), self.method);
        Page::new(text).figure(self.figure()).html(&table.to_html()).show();
    }
}

impl Sweep {
    /// Shows the AUCs by pair.
    pub fn evcxr_display(&self) {
        let reconstruction = Evaluation::Reconstruction;
        let row = |(held_out, auc)| json!({"held_out": held_out, "model": self.model(), "auc": auc});
        let report = json!({"sweep": self.aucs(&reconstruction).map(row).collect::<Vec<_>>()});
        Page::new(self.to_string()).html(&self.table().to_html()).report(&report).show();
    }
}

impl Checks {
    /// Prints a line for each test and shows the points alone: the number that nbgrader reads.
    pub fn evcxr_display(&self) {
        let points = self.points().to_string();
        print_line(&self.to_string());
        show(&[("text/plain", &points)], &points);
    }
}

impl Latents {
    /// Shows how many codes there are and of which length.
    pub fn evcxr_display(&self) {
        Page::new(self.to_string()).show();
    }
}

/// What a value shows: text for terminals, HTML for notebooks, numbers for the report.
struct Page {
    text: String,
    html: String,
    report: Option<String>,
}

impl Page {
    fn new(text: String) -> Self {
        Self { text, html: String::new(), report: None }
    }

    fn html(mut self, html: &str) -> Self {
        self.html += html;
        self.html += "\n";
        self
    }

    /// Adds a figure. One that cannot be drawn leaves its reason; the numbers beside it are still worth showing.
    fn figure(self, figure: Result<Figure>) -> Self {
        match figure {
            Ok(figure) if figure.format() == Format::Svg => self.html(&String::from_utf8_lossy(figure.bytes())),
            Ok(figure) => {
                let (data, alt) = (BASE64_STANDARD.encode(figure.bytes()), escape(figure.alt()));
                self.html(&format!("<img src=\"data:image/png;base64,{data}\" alt=\"{alt}\">"))
            }
            Err(error) => self.html(&format!("<p>{}</p>", escape(&error.to_string()))),
        }
    }

    fn warning(self, warning: &str) -> Self {
        self.html(&format!(
            "<p style=\"border-left:4px solid #d55e00;padding:4px 10px;font-weight:bold\">{}</p>",
            escape(warning)
        ))
    }

    /// Says so where a network has learnt nothing.
    fn learnt(self, learnt: Option<Learnt>) -> Self {
        match learnt.and_then(|learnt| learnt.warning()) {
            None => self,
            Some(nothing) => self.warning(&format!("the network {nothing}")),
        }
    }

    fn history(self, history: &History) -> Self {
        let page = history.warning().into_iter().fold(self, |page, warning| page.warning(&warning));
        let page = page.learnt(history.learnt).html(&history.table().to_html());
        // A training that was stopped in its first epoch has no curve.
        let page = if history.epochs.is_empty() { page } else { page.figure(history.figure()) };
        if history.watched().next().is_none() { page } else { page.figure(history.watched_figure()) }
    }

    fn report(self, report: &Value) -> Self {
        Self { report: Some(report.to_string()), ..self }
    }

    fn show(self) {
        let html = Some(("text/html", self.html.as_str())).filter(|(_, html)| !html.is_empty());
        let report = self.report.as_deref().map(|report| (REPORT, report));
        let blocks: Vec<_> = html.into_iter().chain(report).chain([("text/plain", self.text.as_str())]).collect();
        show(&blocks, &self.text);
    }
}

/// Lines of text as paragraphs of HTML.
fn paragraphs(text: &str) -> String {
    text.lines().map(|line| format!("<p>{}</p>", escape(line))).collect()
}

/// Shows a figure; its reason where it cannot be drawn.
fn show_figure(figure: Result<Figure>, text: String) {
    match figure {
        Ok(figure) => figure.evcxr_display(),
        Err(error) => Page::new(format!("{text}\n{error}")).show(),
    }
}
