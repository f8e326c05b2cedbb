package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// newMarketTrades returns the command that lists matches.
func newMarketTrades(g *globals) *cobra.Command {
	var limit uint64
	cmd := &cobra.Command{
		Use: "trades [--limit N]", Short: "List matches, newest first", Args: cobra.NoArgs,
		Long: `List the matches of bids and asks since the node's index begins, newest first. A
trade of a party with itself is marked, and counts in no other figure.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, g, fmt.Sprintf("/v1/market/trades?limit=%d", limit),
				"deal", "matched", "price", "size", "duration", "total", "miner", "client", "selfTrade", "cause")
		},
	}
	cmd.Flags().Uint64Var(&limit, "limit", 50, "trades shown at most")
	return cmd
}

// newMarketTicker returns the command that shows the market of a day.
func newMarketTicker(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "ticker", Short: "Show the market of the last 24 hours", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return ask(cmd, g, "/v1/market/ticker") },
	}
}

// newMarketCandles returns the command that shows what was traded when.
func newMarketCandles(g *globals) *cobra.Command {
	var interval, from, to string
	var limit uint64
	cmd := &cobra.Command{
		Use: "candles [--interval LENGTH] [--from TIME] [--to TIME]", Short: "Show what was traded in each interval", Args: cobra.NoArgs,
		Long: `Show what was traded in each interval that has a trade. LENGTH is 1m, 5m, 15m, 1h,
4h, 1d or 1w; candles of less than an hour are kept for 31 days. TIME is Unix
seconds or like 2026-01-31T12:00:00Z. Without times, the newest intervals.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"interval": {interval}, "limit": {strconv.FormatUint(limit, 10)}}
			for name, v := range map[string]string{"from": from, "to": to} {
				if v != "" {
					q.Set(name, v)
				}
			}
			return ask(cmd, g, "/v1/market/candles?"+q.Encode(), "start", "open", "high", "low", "close", "vwap", "trades", "volume", "total")
		},
	}
	cmd.Flags().StringVar(&interval, "interval", "1h", "length of a candle")
	cmd.Flags().StringVar(&from, "from", "", "first time")
	cmd.Flags().StringVar(&to, "to", "", "time after the last")
	cmd.Flags().Uint64Var(&limit, "limit", 500, "intervals that are covered at most")
	return cmd
}

// newMarketPrices returns the command that shows prices of classes of deals.
func newMarketPrices(g *globals) *cobra.Command {
	var days uint64
	cmd := &cobra.Command{
		Use: "prices [--days N]", Short: "Show prices by the size and duration of deals", Args: cobra.NoArgs,
		Long: `Show what deals of each class of size and duration were made at, today and on the
days before (UTC). A class goes from the size and duration shown up to below
twice those; vwap is the mean, weighted by size and duration.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, g, fmt.Sprintf("/v1/market/prices?days=%d", days), "size", "duration", "vwap", "low", "high", "close", "trades", "volume")
		},
	}
	cmd.Flags().Uint64Var(&days, "days", 30, "days that are summed up")
	return cmd
}
