#!/usr/bin/env bash
# Named training runs in order of worth, for a machine that would otherwise idle: one thread, one run at a time, each resumed by images seen.
#   runs/queue.sh run [DATA_FOLDER]     works through the list (start it in the background); a run that is finished is passed over
#   runs/queue.sh status                one line per run: images seen, images per second, hours left, last losses
#   runs/queue.sh stop                  stops the run in progress, with a checkpoint
# State lives outside the checkout, in $S2ID_QUEUE (by default ~/.local/state/s2id-queue): a clone per commit, so that work in the checkout does not
# touch a run, and a folder per run. A run is resumed with the commit that it began with, and with that commit's line of the list below.
# Started twice, it trains two runs at once: each takes the first that no other has.
# `finer=ink` reads the fonts in DATA_FOLDER/fonts. THREADS=2 gives a run two threads. If the state was lost, begin a run anew from an exported model: --init FOLDER --set warmup=0.005.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
home=${S2ID_QUEUE:-$HOME/.local/state/s2id-queue}
mkdir -p "$home/runs"

# name | a command of s2id that trains (or joins a guide to a model), and its arguments; images, not minutes, so that every stop can be resumed. @ is the state's folder,
# {} that of the data, which is also what a line without --data gets; {}/graphics is what runs/graphics_data.py makes,
# and {}/icons holds the packages of the six sets of emoji (docs/vectors.md).
# exports/mnist-gpu-a: a model of runs/gpu_train.py and its guide, the first two commands of runs/train_mnist.sh.
# exports/long-at-194k: moving average of `train mnist --init exports/mnist-gpu-a --images 400000 --lr 1e-3 --set warmup=0.005
# --set detail-density=28 --set detail-share=0.3` after 193,792 images. exports/graphics-wide: runs/widen.py of the
# bundled graphics. exports/all-mix.safetensors: `runs/redraw.py emoji --data icons`. A line that fails is passed over.
runs() {
  cat <<'LIST'
ink | train mnist --init @/exports/long-at-194k --images 120000 --lr 1e-3 --set warmup=0.005 --set detail-density=28 --set detail-share=0.4 --set finer=ink --set finer-share=0.3
ink-guided | guide @/runs/ink/model @/exports/mnist-gpu-a/guide.safetensors
guided-one | distill @/runs/ink-guided/model --guidance-only --autoguidance 1.5 --images 50000 --lr 5e-4 --set ema=0.999
graphics | train graphics --data {}/graphics --images 160000
few-2 | distill @/runs/guided-one/model --guidance 1.5 --set guidance-interval=0.1,0.6 --steps 24 --pairs 3000 --images 40000
graphics-2 | train graphics --data {}/graphics --init @/runs/graphics/model --images 130000 --lr 1e-3 --set warmup=0.005
graphics-wide | train graphics --data {}/graphics --init @/exports/graphics-wide --images 110000 --lr 1e-3 --set warmup=0.02 --set width=64 --set blocks=8
few-4 | distill @/runs/guided-one/model --guidance 1.5 --set guidance-interval=0.1,0.6 --steps 24 --pairs 3000 --images 40000 --times 1 0.75 0.5 0.25
scratch-63k | train mnist --images 63000
scratch-250k | train mnist --images 250000
graphics-5 | train graphics --data {}/graphics --init graphics --images 200000 --lr 1e-3 --set warmup=0.005
graphics-invent-2 | train graphics --data {}/graphics --init @/runs/graphics-5/model --images 60000 --lr 1e-3 --set warmup=0.02 --set noise-channels=4
emoji-all-6 | train folder --data {}/icons --init emoji --images 60000 --lr 1e-3 --alpha white --batch 16 --set queries=0.5 --set canvas-steps=20000 --set warmup=0.01 --set detail-share=0.6 --set max-weight=20 --set drop-each=0.1 --set drop-attributes=0.5
emoji-all-7 | train folder --data {}/icons --init @/exports/all-mix.safetensors --images 90000 --lr 1e-3 --alpha white --batch 16 --set queries=0.5 --set warmup=0.01 --set detail-share=0.6 --set max-weight=20 --set drop-each=0.1 --set drop-attributes=0.5
graphics-6 | train graphics --data {}/graphics --init graphics --images 300000 --lr 1e-3 --set warmup=0.005
graphics-invent-4 | train graphics --data {}/graphics --init @/runs/graphics-6/model --images 60000 --lr 1e-3 --set warmup=0.02 --set noise-channels=4
LIST
}

work() {
  local data=$1
  local now commit resume out code
  now=$(git -C "$here" rev-parse HEAD)
  export OMP_NUM_THREADS=${THREADS:-1}
  rm -f "$home/stopping"
  runs | while IFS='|' read -r name arguments; do
    name=${name// /} out="$home/runs/${name// /}"
    mkdir -p "$out"
    exec 9>"$out/queued"
    flock -n 9 || continue
    [ -e "$out/finished" ] && continue
    resume=() commit=$now
    if compgen -G "$out/checkpoints/[0-9]*" >/dev/null; then
      resume=(--resume latest) commit=$(cat "$out/commit")
      arguments=$(git -C "$here" show "$commit:runs/queue.sh" | grep "^$name |" | cut -d'|' -f2-)
    fi
    [[ $arguments == *--data* || $arguments == " guide "* ]] || arguments+=" --data {}"
    [[ $arguments == " guide "* ]] && arguments+=" --out $out/model" || arguments+=" --out $out"
    arguments=${arguments//@/$home} arguments=${arguments//\{\}/$data}
    echo "$commit" >"$out/commit"
    code="$home/code/$commit"
    [ -d "$code" ] || { git clone -q "$here" "$code.new$$" && git -C "$code.new$$" checkout -q --detach "$commit" && mv "$code.new$$" "$code"; }
    # shellcheck disable=SC2086
    if PYTHONPATH="$code/src" "${PYTHON:-$here/.venv/bin/python}" -m s2id $arguments "${resume[@]}" \
      >>"$out/log" 2>&1 </dev/null 9>&-; then
      [ -d "$out/model" ] && touch "$out/finished"
    else
      echo "$name failed; see $out/log" >&2
    fi
    [ -e "$home/stopping" ] && break
  done
}

status() {
  runs | while IFS='|' read -r name arguments; do
    name=${name// /}
    "${PYTHON:-$here/.venv/bin/python}" - "$home/runs/$name" "$name" "$arguments" <<'PY'
import json, pathlib, re, sys
folder, name, arguments = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
wanted = int((re.search(r"--images (\d+)", arguments) or [0, 0])[1])
file = folder / "metrics.jsonl"
rows = []
for line in file.read_text().splitlines() if file.is_file() else []:
    try:
        rows.append(json.loads(line))
    except ValueError:
        pass  # a line that a kill cut short
rows = [row for row in rows if "loss" in row]
if not rows:
    print(f"{name:13} {'finished' if (folder / 'finished').exists() else f'waits for {wanted:,} images'}")
else:
    seen, speed = rows[-1]["images_seen"], rows[-1]["images_per_second"]
    state = "finished" if (folder / "finished").exists() else f"{(wanted - seen) / speed / 3600:.1f} hours left"
    losses = " ".join(f"{row['loss']:.4f}" for row in rows[-3:])
    print(f"{name:13} {seen:,} of {wanted:,} images, {speed:.0f}/s, {state}, losses {losses}")
PY
  done
}

case ${1:-status} in
  run) work "$(cd "${2:-data}" && pwd)" ;;
  status) status ;;
  stop) touch "$home/stopping"; pkill -INT -f "s2id (train|distill) .*$home/runs/" || { rm -f "$home/stopping"; echo "nothing runs"; } ;;
  *) sed -n '2,9p' "$0"; exit 2 ;;
esac
