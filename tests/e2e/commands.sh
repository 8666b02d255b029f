#!/usr/bin/env bash
# Every command does what its help says, on the bundled digits.
source "$(dirname "$0")/common.sh"

for command in train launch eval predict plan bench config "config show" "config schema" "config explain" inspect list doctor completion; do
  expect_exit 0 "$rstorch" $command --help
  expect_text "$work/out" "Example:"
done
expect_exit 0 "$rstorch" --version
expect_text "$work/out" "rstorch 0."

# Ten milliseconds at most; the fastest of some tries, since others use this machine too.
best=1000000000
for _ in $(seq 20); do
  begin=$(date +%s%N)
  "$rstorch" --help >/dev/null
  elapsed=$(($(date +%s%N) - begin))
  [ "$elapsed" -ge "$best" ] || best=$elapsed
done
[ "$best" -le 10000000 ] || fail "--help takes $best ns"

expect_exit 0 "$rstorch" plan configs/digits_cnn.yaml
expect_text "$work/out" "conv1"
expect_exit 0 "$rstorch" plan configs/digits_cnn.yaml --json
expect_text "$work/out" '"parameters"'
expect_exit 0 "$rstorch" config show configs/digits_mlp.yaml optimizer.lr=0.5
expect_text "$work/out" "argument 1"
expect_exit 0 "$rstorch" config schema
expect_text "$work/out" '"max_epochs"'
for key in trainer.max_epochs data.batch_size model.layers AdamW optimizer.AdamW.lr mnist optimizer; do
  expect_exit 0 "$rstorch" config explain "$key"
  [ -s "$work/out" ] || fail "nothing explained of $key"
done
expect_exit 2 "$rstorch" config explain trainer.max_epoch
expect_text "$work/err" 'did you mean `trainer.max_epochs`?'
expect_exit 0 "$rstorch" list
expect_text "$work/out" "AdamW"
expect_exit 0 "$rstorch" doctor
expect_text "$work/out" "threads"
grep -qE '^mpi +(Open MPI [0-9]|no mpirun)' "$work/out" || fail "doctor says nothing of MPI"
expect_exit 0 "$rstorch" completion bash
bash -n "$work/out"
expect_exit 0 "$rstorch" bench configs/digits_mlp.yaml --steps 20 --json
expect_text "$work/out" '"allocations_per_step"'

expect_exit 0 "$rstorch" train configs/digits_mlp.yaml --dry-run "run.dir=$work/dry"
[ ! -e "$work/dry" ] || fail "--dry-run wrote something"

expect_exit 0 "$rstorch" train configs/digits_mlp.yaml "run.dir=$work/runs"
run=$work/runs/digits_mlp
for file in config.yaml config.resolved.yaml metrics.jsonl metrics.csv train.log checkpoints/last/manifest.json checkpoints/best/manifest.json; do
  [ -s "$run/$file" ] || fail "no $file"
done
expect_exit 0 "$rstorch" train configs/digits_mlp.yaml "run.dir=$work/runs" --resume
expect_text "$work/out" "is finished"
expect_exit 0 "$rstorch" inspect "$run"
expect_text "$work/out" "1.weight"
expect_text "$work/out" "best val.accuracy at step"

# A checkpoint alone says the same as training did: moved away, without its run.
cp -r "$run/checkpoints/last/" "$work/alone"
expect_exit 0 "$rstorch" eval "$work/alone" --json
accuracy=$(sed -E 's/.*"accuracy": ([0-9.e-]+).*/\1/' "$work/out")
grep -q "\"val.accuracy\": $accuracy[,}]" "$run/metrics.jsonl" || fail "eval says $accuracy, training something else"

# From another folder too: relative paths of the config begin where the run was, those of the command line here.
mkdir "$work/elsewhere"
(
  cd "$work/elsewhere"
  expect_exit 0 "$rstorch" eval "$work/alone" --json
  grep -qF "\"accuracy\": $accuracy" "$work/out" || fail "eval says something else in another folder"
  expect_exit 4 "$rstorch" eval "$work/alone" data.path=datasets/digits
  ln -s "$source_dir/datasets" here
  expect_exit 0 "$rstorch" eval "$work/alone" --data here/digits
)

expect_exit 0 "$rstorch" predict "$work/alone" --data datasets/digits --out "$work/out.jsonl"
[ "$(wc -l <"$work/out.jsonl")" -eq 360 ] || fail "not 360 predictions"
expect_exit 0 "$rstorch" predict "$work/alone" --out "$work/out.csv"
[ "$(wc -l <"$work/out.csv")" -eq 361 ] || fail "not a header and 360 predictions"
expect_exit 2 "$rstorch" predict "$work/alone" --out "$work/out.txt"

# Where predictions go: through links, into pipes and devices, to stdout, and nowhere else.
ln -s out.csv "$work/link.csv"
rm "$work/out.csv"
expect_exit 0 "$rstorch" predict "$work/alone" --out "$work/link.csv"
[ -L "$work/link.csv" ] && [ "$(wc -l <"$work/out.csv")" -eq 361 ] || fail "--out replaced a link"
mkfifo "$work/pipe.csv"
cat "$work/pipe.csv" >"$work/piped.csv" &
expect_exit 0 "$rstorch" predict "$work/alone" --out "$work/pipe.csv"
wait $!
[ -p "$work/pipe.csv" ] || fail "--out replaced a pipe"
cmp "$work/piped.csv" "$work/out.csv"
expect_exit 0 "$rstorch" predict "$work/alone" --out - --format csv
cmp "$work/out" "$work/out.csv"
expect_exit 9 "$rstorch" predict "$work/alone" --out /dev/full --format csv
expect_text "$work/err" "No space left on device"
[ -c /dev/full ] || fail "--out replaced a device"

expect_exit 2 "$rstorch" predict "$work/alone" --out "$work/no/folder/out.csv"
expect_text "$work/err" "No such file or directory"

# A fraction held out stays the one of the run, and nobody is left to believe otherwise.
expect_exit 0 "$rstorch" train configs/iris_mlp.yaml --resume '~trainer.early_stopping' trainer.max_epochs=3 '~expect' "run.dir=$work/runs"
expect_text "$work/err" "there is no run $work/runs/iris_mlp to continue"
expect_exit 0 "$rstorch" eval "$work/runs/iris_mlp" --json
cp "$work/out" "$work/measured"
expect_exit 0 "$rstorch" eval "$work/runs/iris_mlp" --json seed=99
cmp "$work/out" "$work/measured"
expect_exit 0 "$rstorch" train configs/iris_mlp.yaml --resume '~trainer.early_stopping' trainer.max_epochs=4 '~expect' "run.dir=$work/runs" seed=99
expect_text "$work/err" "the validation samples are drawn anew"
expect_exit 0 "$rstorch" train configs/iris_mlp.yaml --resume '~trainer.early_stopping' trainer.max_epochs=1 '~expect' "run.dir=$work/runs" seed=99

# A place in the data, or a model, that is not the checkpoint's: refused, naming what was changed.
short=("run.dir=$work/runs" '~expect' '~trainer.early_stopping' trainer.max_epochs=4)
expect_exit 9 "$rstorch" train configs/iris_mlp.yaml --resume "${short[@]}" seed=99 trainer.max_epochs=5 data.batch_size=8
expect_text "$work/err" "another place in the data"
expect_text "$work/err" "data.batch_size"
expect_exit 9 "$rstorch" train configs/iris_mlp.yaml --resume "${short[@]}" seed=99 trainer.max_epochs=5 optimizer=SGD
expect_text "$work/err" "does not fit this config"
expect_text "$work/err" "the config differs from the checkpoint's in: optimizer"
expect_exit 0 "$rstorch" train configs/iris_mlp.yaml "run.dir=$work/runs" run.name=frozen '~expect' trainer.max_steps=2 '~trainer.max_epochs' optimizer.lr=0

# Started without stdin, stdout and stderr: what would have been said goes nowhere, least of all into the run's files.
expect_exit 0 bash -c "'$rstorch' train configs/iris_mlp.yaml 'run.dir=$work/runs' run.name=closed '~expect' <&- >&- 2>&-"
grep -qv '^{' "$work/runs/closed/metrics.jsonl" && fail "metrics.jsonl has lines that are no JSON"
grep -q 'checkpoints/last' "$work/runs/closed/train.log" && fail "train.log has what belongs to stdout"

# Amounts beyond any run.
for key in "lr_scheduler={type: step, step_size: 1e30 steps}" "lr_scheduler={type: cosine, warmup: 1e30 steps}" \
           "trainer.val_every=1e30 steps" trainer.max_epochs=9223372036854775807; do
  expect_exit 3 "$rstorch" train configs/iris_mlp.yaml "run.dir=$work/none" "$key"
  expect_text "$work/err" "error[E0304]"
done
expect_exit 3 "$rstorch" plan configs/digits_cnn.yaml "model.layers[0].padding=9223372036854775807"
expect_text "$work/err" "error[E0304]"
[ ! -e "$work/none" ] || fail "a run that could not begin left a folder"

# A config from a pipe; a broken one is as broken in smoke size; a short run may be all warm-up.
expect_exit 0 "$rstorch" train - --dry-run <configs/digits_mlp.yaml
expect_exit 0 "$rstorch" train <(cat configs/digits_mlp.yaml) --dry-run
expect_exit 3 "$rstorch" train - --smoke <<<'rstorch: 1'
expect_exit 3 "$rstorch" train configs/digits_mlp.yaml --smoke trainer.val_every=soon
expect_exit 0 "$rstorch" train configs/digits_cnn.yaml --smoke trainer.max_epochs=1 "run.dir=$work/runs"
expect_exit 0 "$rstorch" train configs/digits_cnn.yaml --smoke "lr_scheduler.warmup=500 steps" "run.dir=$work/runs"

expect_exit 0 "$rstorch" config show configs/digits_mlp.yaml
grep -qE '^  type: mnist +# configs/digits_mlp.yaml:' "$work/out" || fail "config show does not know where type is from"
for key in "" trainer AdamW data; do
  expect_exit 0 "$rstorch" config explain $key
  [ "$(wc -L <"$work/out")" -le 100 ] || fail "config explain $key is wider than 100 columns"
done
expect_exit 0 "$rstorch" config explain trainer
[ "$(grep -c max_epochs "$work/out")" -eq 1 ] || fail "config explain shows its keys twice"
expect_exit 0 "$rstorch" config explain optimizer
expect_text "$work/out" "AdamW"
expect_exit 0 "$rstorch" config explain optimizer.lr
expect_text "$work/out" "optimizer.lr of SGD"
expect_exit 2 "$rstorch" config explain layers
expect_text "$work/err" 'did you mean `model.layers`?'
expect_exit 0 "$rstorch" list layers
expect_text "$work/out" "Residual "
expect_exit 2 "$rstorch" config
expect_text "$work/err" "there are: show, schema, explain"
expect_exit 2 "$rstorch" bench configs/digits_mlp.yaml --steps 0
expect_text "$work/err" "wanted 1 to 999999999"

# Nothing to train, sizes beyond any machine, an end beyond any run, a reader of the log that leaves.
expect_exit 3 "$rstorch" train configs/iris_mlp.yaml "model.layers=[ReLU]" "run.dir=$work/none"
expect_text "$work/err" "the model has no parameters to train"
expect_exit 3 "$rstorch" train configs/iris_mlp.yaml "model.layers[0].Linear.out_features=4611686018427387904" "run.dir=$work/none"
[ ! -e "$work/none" ] || fail "a run that could not begin left a folder"
expect_exit 75 "$rstorch" train tests/e2e/long_run.yaml '~trainer.max_steps' trainer.max_epochs=1000000000 trainer.max_time=1s "run.dir=$work/runs"
"$rstorch" train configs/iris_mlp.yaml '~expect' "run.dir=$work/runs" run.name=unread 2>&1 | head -n 1 >/dev/null || true
expect_exit 0 "$rstorch" inspect "$work/runs/unread"
