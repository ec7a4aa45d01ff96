"""The words of the page, in English and in Chinese."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LANGUAGES = {"en": "en", "zh": "zh-CN"}  # as they are chosen -> as HTML has them


@dataclass(frozen=True)
class Say:
    """Says a sentence in one language: `say("seed {n}", n=3)`. The sentence is its own English; KeyError if unknown."""

    language: str = "en"

    def __call__(self, sentence: str, **values: Any) -> str:
        words = CHINESE[sentence]
        return (words if self.language == "zh" else sentence).format(**values)


CHINESE: Mapping[str, str] = {
    # The page
    "{n} runs": "{n} 次训练",
    "Overview": "总览",
    "written by ddpg {version}": "由 ddpg {version} 生成",
    "Shown: greedy returns of the deterministic policy, without exploration noise.": (
        "图中回报均为确定性策略（不加探索噪声）的回报。"
    ),
    # Parts
    "Learning curve": "学习曲线",
    "Returns": "回报",
    "Inside the update": "更新过程的内部指标",
    "Film": "动画",
    "Value and policy over all states": "整个状态空间上的价值与策略",
    "Settings": "设置",
    "How to go on": "接下来",
    # How it ended
    "how it ended": "结束方式",
    "training now, at step {n} of {all}": "正在训练：第 {n} 步，共 {all} 步",
    "its end was not written; the log ends at step {n} of {all}": "未写入结束信息；日志止于第 {n} 步，共 {all} 步",
    "failed at step {n} of {all}": "在第 {n} 步失败，共 {all} 步",
    "stopped by an observer at step {n} of {all}": "由观察者（observer）在第 {n} 步停止，共 {all} 步",
    "interrupted at step {n} of {all}": "在第 {n} 步中断，共 {all} 步",
    "finished: {n} steps": "已完成：{n} 步",
    # Facts
    "run": "训练",
    "environment": "环境",
    "steps": "步数",
    "unknown": "未知",
    "return": "回报",
    "last return": "最后的回报",
    "best return": "最好的回报",
    "last, below the optimum": "最后回报与最优之差",
    "last, below the optimum {n}": "最后回报与最优值 {n} 之差",
    "steps per second": "每秒步数",
    "wall time": "总用时",
    "seeds": "随机种子",
    "seed": "种子",
    "1 seed": "1 个种子",
    "{n} seeds": "{n} 个种子",
    "at step": "对应步数",
    "IQM [95 %]": "四分位均值 [95 %]",
    "The best of many evaluations is partly luck: to compare policies, evaluate them anew.": (
        "许多次评估中的最好一次带有运气成分：要比较策略，请重新评估。"
    ),
    # Alarms
    "failure": "失败",
    "diverged": "发散",
    "stopped": "停止",
    "warning": "警告",
    "start": "起始说明",
    # Learning curve
    "No greedy return was logged, so there is no learning curve.": "没有记录到确定性策略的回报，因此没有学习曲线。",
    "interquartile mean over {n} seeds": "{n} 个种子的四分位均值",
    "greedy return": "确定性策略的回报",
    "95 % bootstrap interval": "95 % 自助法（bootstrap）区间",
    "each seed": "每个种子",
    "optimum from the same starts": "相同起点的最优回报",
    "whole run": "全过程",
    "last half": "后半程",
    # Inside the update
    "No update was made, so nothing of the critic is known.": "没有进行过更新，因此没有关于 critic 的数据。",
    "Q value": "Q 值",
    "Q(s, a), mean over minibatches": "Q(s, a)，小批量的均值",
    "critic loss": "critic 损失",
    "equation (1), mean over updates": "式 (1)，各次更新的均值",
    "|∇ₐQ|": "|∇ₐQ|",
    "slope of Q at a = μ(s)": "Q 在 a = μ(s) 处的斜率",
    "saturation": "饱和",
    "share of actions at a bound": "处于边界的动作所占比例",
    "bias of Q": "Q 的偏差",
    "Q(s₀, μ(s₀)) minus the return that follows": "Q(s₀, μ(s₀)) 减去随后的实际回报",
    # Films
    "mean return {x}": "平均回报 {x}",
    "No film: {why}": "没有动画：{why}",
    "One greedy episode from the same start, by the policy of seed {n}.": (
        "种子 {n} 的确定性策略从同一起点出发的一个回合（episode）。"
    ),
    "beginning: step {n}": "开始：第 {n} 步",
    "midway: step {n}": "中途：第 {n} 步",
    "end: step {n}": "结束：第 {n} 步",
    "step {n}": "第 {n} 步",
    # Heat maps
    "No heat maps: {why}": "没有热图：{why}",
    "optimum": "最优",
    "discounted reward": "折扣奖励",
    "of the scaled return": "（缩放后的回报）",
    "Across {x}, upwards {y}; seed {n}.": "横轴 {x}，纵轴 {y}；种子 {n}。",
    "The optimum is of the endless problem with this discount γ = {x}.": (
        "“最优”是折扣因子 γ = {x} 的无限时域问题的最优解。"
    ),
    # Settings
    "setting": "设置项",
    "here": "此处",
    "preset {name}": "预设 {name}",
    "all settings": "全部设置",
    "All settings are those of the preset {name}.": "所有设置都与预设 {name} 相同。",
    "The preset {name} is none of ours; all settings are below.": "预设 {name} 不是内置的；全部设置见下。",
    "Versions: {list}": "版本：{list}",
}
