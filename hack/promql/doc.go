// Package promql holds the chart's alerts and dashboard to Prometheus itself: its tests read every expression with
// Prometheus's own parser, run every alert on its own engine, and look up every metric in docs/metrics.md.
//
// It is a module of its own, so that Prometheus's dependencies never meet those of the project. The tests of charts/
// run it.
package promql
