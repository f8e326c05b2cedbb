package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/view"
)

// putFlags are the flags of put.
type putFlags struct {
	client.PutOptions
	maxPrice   amount
	renewPrice amount
	pieceSize  size
	duration   string
	dryRun     bool
	batch      bool
	flush      bool
	due        batchFlags
}

// newPutCommand returns the command that stores a file or a directory.
func newPutCommand(g *globals) *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use:   "put PATH...",
		Short: "Store files and directories",
		Long: `Store files and directories (- for standard input) on several miners. The content is
encrypted first, with a key that stays in --home, unless --public is given.

Of several paths those that are small beside a piece share pieces, which cost what one file of
their size costs; each has a root of its own and is fetched by that alone. With --batch a path is
packed and waits; what waits is stored together once it is --batch-size (half of a piece), by
perdure client run once the oldest is --batch-age (an hour) old, or at once with perdure put --flush.

put places one bid a piece, serves the miners that match it, and returns when every copy
is sealed and proven (exit code 0) or some will never be (exit code 1). With --no-wait it
returns once the bids have landed; perdure client run then serves the miners. A put that was
stopped goes on when it is given again, or with perdure client run; nothing is paid twice.

Durations are blocks (600b), or times (30m, 12h, 7d) that are rounded up to whole proving
periods; the default is 20 proving periods. Without --max-price the highest price is that of the
dearest ask that is needed now and a quarter more; every copy costs what its ask says.

A copy that is lost before its term is over is repaired by the chain out of what it was
to cost and its miner's collateral, if another copy is there. With --renew N the chain bids for
up to N further terms of every copy, each before the one before ends, with what the
account has free then: the price of the term, an allowance for moving the data, and a
no-show deposit that comes back when a miner has the data. If that is too little, the
copy ends with its term.

With --region only miners that claim to be there are paid; nobody checks such claims.

With --dry-run nothing is sent and nothing is written: the content is read, and the quote says what
all paths cost together, with what waits in the batch if --batch is given. It lets the bids that are
ahead trade first, and says how much of the book it has seen. Without a node that answers the prices
are null. Of standard input of more than 4 MiB, and of pieces that several paths share, it does not
know the piece CID.`,
		Example: `  perdure put photos --copies 3 --duration 7d
  perdure put *.jpg --duration 30d
  perdure put note.txt --batch
  perdure put photos --region eu --region us-ny
  perdure put page.html --public --dry-run --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.complete(args); err != nil {
				return usage(err)
			}
			return f.run(cmd, g, args)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.Public, "public", false, "store the content as it is, for everybody to read")
	fl.Uint64Var(&f.Copies, "copies", client.DefaultCopies, "copies, each on another miner of another owner")
	fl.StringVar(&f.duration, "duration", "", "how long, like 600b, 30m or 7d (default 20 proving periods)")
	fl.Var(&f.maxPrice, "max-price", "most attoPDR per GiB per block")
	fl.Uint64Var(&f.Renew, "renew", 0, "further terms of every copy that the chain bids for before the one before ends")
	fl.Var(&f.renewPrice, "renew-price", "most attoPDR per GiB per block of those terms (default that of the first)")
	fl.Var(&f.pieceSize, "piece-size", "largest padded piece (default the largest that enough asks take)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "say what would be stored and what it costs, send nothing")
	fl.BoolVar(&f.NoWait, "no-wait", false, "return once the bids have landed")
	fl.BoolVar(&f.batch, "batch", false, "let it wait, to share a piece with others")
	fl.BoolVar(&f.flush, "flush", false, "store what waits")
	fl.StringSliceVar(&f.Regions, "region", nil, "regions, one of which a miner must claim, like eu or eu-de (default anywhere)")
	f.due.add(fl)
	return cmd
}

// run does what the flags ask for.
func (f *putFlags) run(cmd *cobra.Command, g *globals, paths []string) error {
	switch {
	case f.flush:
		return runFlush(cmd, g, f)
	case f.dryRun:
		return runQuote(cmd, g, paths, f)
	case f.batch:
		return runBatch(cmd, g, paths, f)
	case len(paths) > 1:
		return runPutMany(cmd, g, paths, f)
	}
	return runPut(cmd, g, paths[0], f)
}

// together refuses arguments and flags that do not go with one another.
func (f *putFlags) together(args []string) error {
	switch {
	case f.flush && (len(args) > 0 || f.batch || f.dryRun):
		return errors.New("--flush stores what waits already: give no path, --batch or --dry-run with it")
	case !f.flush && len(args) == 0:
		return errors.New("requires a path")
	case f.batch && f.NoWait:
		return errors.New("--batch sends nothing yet: give no --no-wait with it")
	case len(args) > 1 && slices.Contains(args, "-"):
		return errors.New("standard input (-) goes alone")
	}
	return nil
}

// complete reads the flags that cobra cannot.
func (f *putFlags) complete(args []string) error {
	if err := f.together(args); err != nil {
		return err
	}
	f.MaxPrice, f.PieceSize, f.RenewPrice = chain.Amount(f.maxPrice), uint64(f.pieceSize), chain.Amount(f.renewPrice)
	for _, tag := range f.Regions {
		if err := chain.CheckRegion(tag); err != nil {
			return fmt.Errorf("--region: %w", err)
		}
	}
	if f.Renew == 0 && !f.RenewPrice.IsZero() {
		return errors.New("--renew-price: --renew says how many terms it is for")
	}
	if f.Copies == 0 {
		return errors.New("--copies: at least one")
	}
	if n := f.PieceSize; n != 0 && (n < 128 || n&(n-1) != 0) {
		return fmt.Errorf("--piece-size %d: want a power of two from 128 on", n)
	}
	if f.duration == "" {
		return nil
	}
	var err error
	if f.Duration, err = client.ParseDuration(f.duration); err != nil {
		return fmt.Errorf("--duration %w", err)
	}
	return nil
}

func runQuote(cmd *cobra.Command, g *globals, paths []string, f *putFlags) error {
	c, err := g.openReader(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	f.Event = tell(cmd.ErrOrStderr())
	q, err := f.quote(cmd.Context(), c, paths)
	if err != nil {
		return err
	}
	if q.Problem != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "no prices:", q.Problem)
	}
	if g.JSON {
		return writeJSON(cmd, view.QuoteOf(q))
	}
	writeQuote(cmd.OutOrStdout(), q)
	return nil
}

// quote asks for what the paths come to.
func (f *putFlags) quote(ctx context.Context, c *client.Client, paths []string) (*client.Quote, error) {
	switch {
	case f.batch:
		return c.QuoteBatch(ctx, paths, f.PutOptions)
	case len(paths) > 1:
		return c.QuoteMany(ctx, paths, f.PutOptions)
	}
	return c.Quote(ctx, paths[0], f.PutOptions)
}

// writeQuote shows a quote to people.
func writeQuote(w io.Writer, q *client.Quote) {
	for _, c := range q.Contents {
		fmt.Fprintf(w, "root      %s  %s  %s\n", c.Root, humanize.IBytes(c.Size), c.Name)
	}
	if q.Root.Defined() {
		fmt.Fprintf(w, "root      %s\n", q.Root)
	}
	fmt.Fprintf(w, "content   %s\npieces    %d, together %s before padding\ncopies    %d\n",
		humanize.IBytes(q.Size), len(q.Pieces), humanize.IBytes(q.PayloadSize), q.Copies)
	if q.Duration != 0 {
		fmt.Fprintf(w, "duration  %d blocks\n", q.Duration)
	}
	if q.Market != nil {
		writeMarket(w, q.Market, q.Copies*uint64(len(q.Pieces)))
	}
	for _, one := range q.Miners {
		fmt.Fprintf(w, "miner     %s at %s, %d of %d sectors faulty, %d no-shows, says it served %s\n",
			one.Miner, one.Price.Human(), one.Faulty, one.Sectors, one.NoShows, humanize.IBytes(one.Served))
	}
}

// writeMarket shows what the order book says about so many copies of pieces.
func writeMarket(w io.Writer, m *deals.Quote, copies uint64) {
	fmt.Fprintf(w, "price     %s\nfees      %s\ndeposits  %s, repaid when the miners hold the data\ntotal     %s\n",
		m.Price.Human(), m.Fees.Human(), m.Deposits.Human(), m.Total.Human())
	if !m.GiBMonth.IsZero() {
		fmt.Fprintf(w, "that is   %s for each GiB and 30 days, padding counted\n", m.GiBMonth.Human())
	}
	if !m.Renewals.IsZero() {
		fmt.Fprintf(w, "renewals  %s at most, when their time comes\n", m.Renewals.Human())
	}
	expected := "as the network's delays say; no deal is known"
	if m.Deals > 0 {
		expected = fmt.Sprintf("as the median of %d recent deals", m.Deals)
	}
	fmt.Fprintf(w, "stored    after %d blocks, %s; %d at the earliest; after %d a copy is proven, or void and repaid\n",
		m.Expected, expected, m.Earliest, m.Latest)
	fmt.Fprintf(w, "highest   %s per GiB and block: if the book moves, no copy costs more, and one that finds no ask waits and is repaid\n", m.MaxPrice.Human())
	fmt.Fprintf(w, "seen      the %s%s%s, after %s ahead\n",
		english.Plural(m.Asks, "cheapest ask", ""), orNone(m.More, ", of more"), orNone(m.Proven, ", proven"), english.Plural(m.Ahead, "bid that is", "bids that are"))
	if m.Missing > 0 {
		fmt.Fprintf(w, "missing   %d of %d copies find no ask now; their bids wait for one\n", m.Missing, copies)
	}
}

// orNone is a text if something is so.
func orNone(so bool, text string) string {
	if so {
		return text
	}
	return ""
}

func runPut(cmd *cobra.Command, g *globals, path string, f *putFlags) error {
	c, err := g.openClient(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	errs := cmd.ErrOrStderr()
	f.Event = tell(errs)
	f.Approve = func(q *client.Quote) error { return approve(cmd, g, q) }
	r, err := c.Put(cmd.Context(), path, f.PutOptions)
	if err != nil {
		if r != nil && r.Object != nil {
			fmt.Fprintf(errs, "%s is recorded; give the same command again, or run perdure client run, to go on\n", r.Root)
		}
		return err
	}
	if g.JSON {
		err = writeJSON(cmd, view.ObjectOf(r.Object))
	} else {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), r.Root)
	}
	if err != nil || f.NoWait || r.Complete() {
		return err
	}
	for _, problem := range r.Problems() {
		fmt.Fprintln(errs, problem)
	}
	return refused()
}

// approve shows the quote and, on a terminal without --yes, asks.
func approve(cmd *cobra.Command, g *globals, q *client.Quote) error {
	errs := cmd.ErrOrStderr()
	writeQuote(errs, q)
	in, ok := cmd.InOrStdin().(interface{ Fd() uintptr })
	if g.Yes || g.JSON || !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	fmt.Fprint(errs, "Store it? [y/N] ")
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err != nil || answer != "y" && answer != "yes" {
		return errors.New("not stored")
	}
	return nil
}

// tell writes what happens, one line each; of packing, each tenth of what is large.
func tell(w io.Writer) func(client.Event) {
	const large, tenths = 256 << 20, 10
	var last, said uint64 // bytes at the last event, and at the last line
	return func(e client.Event) {
		if e.Stage != client.StagePacking {
			writeEvent(w, e)
			return
		}
		if e.Done < last { // the next pass, or the next content
			said = 0
		}
		last = e.Done
		if e.Done-said < max(e.Total/tenths, large) {
			return
		}
		said = e.Done
		of := ""
		if e.Total > 0 {
			of = " of " + humanize.IBytes(e.Total)
		}
		fmt.Fprintf(w, "%s %s: %s%s\n", time.Now().Format("15:04:05"), e.Pass, humanize.IBytes(e.Done), of)
	}
}

// writeEvent tells of a stage.
func writeEvent(w io.Writer, e client.Event) {
	now := time.Now().Format("15:04:05")
	switch e.Stage {
	case client.StagePacked:
		fmt.Fprintf(w, "%s packed into %s: %s\n", now, english.Plural(len(e.Quote.Pieces), "piece", ""), e.Quote.Root)
	case client.StageResumed:
		fmt.Fprintf(w, "%s going on with the put of %s: %s\n", now, e.Record.Created.Format(time.RFC3339), e.Record.Root)
	case deals.StagePlaced:
		fmt.Fprintf(w, "%s piece %d: bid %d is in block %d\n", now, e.Part+1, e.Order, e.Height)
	case deals.StageMatched:
		fmt.Fprintf(w, "%s piece %d: deal %d with t0%d for %s\n", now, e.Part+1, e.Deal, e.Miner, e.Amount.Human())
	case deals.StageServed:
		fmt.Fprintf(w, "%s piece %d: t0%d has fetched it\n", now, e.Part+1, e.Miner)
	case deals.StageAccepted:
		fmt.Fprintf(w, "%s piece %d: t0%d holds it and seals\n", now, e.Part+1, e.Miner)
	case deals.StageActive:
		fmt.Fprintf(w, "%s piece %d: deal %d is active at height %d\n", now, e.Part+1, e.Deal, e.Height)
	case deals.StageVoid:
		fmt.Fprintf(w, "%s piece %d: a copy is void: %s\n", now, e.Part+1, e.Reason)
	}
}
